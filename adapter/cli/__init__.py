"""The command line: thin commands over the functions that the service itself runs."""
