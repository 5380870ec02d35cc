"""Makes the calls that are owed: `claiming`, `pace`, the `worker` itself, and its `reporting`."""
