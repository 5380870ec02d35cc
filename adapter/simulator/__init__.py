"""A local stand-in for the vendor's API: no account, no phone bill, and faults on command."""
