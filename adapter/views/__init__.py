"""What people and scripts are shown, as plain JSON values: numbers masked, times with their zone.

The API's answers and the command line's `--json` are the same. Must not know HTTP or terminals.
"""
