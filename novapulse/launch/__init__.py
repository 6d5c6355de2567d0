"""Starting and stopping NovaPulse: preflight checks, embedded Valkey, the frontend build, supervised processes."""
