"""The vendor's API: `wire` is what is said, `client` how it gets there."""
