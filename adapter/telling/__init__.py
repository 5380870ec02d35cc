"""What a fallback webhook is told of a page that reached nobody, and when it is told again."""
