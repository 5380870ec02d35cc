"""Makes the calls that are owed.

`escalating` takes steps, `claiming` takes calls, `pace` says how fast, the `worker` itself sends
and settles, and `reporting` tells of it all.
"""
