"""The tasks, one module per queue that has any."""
