"""`python -m adapter`: the same as the command `uvms-adapter`."""

from adapter.cli.main import main

if __name__ == "__main__":
    main()
