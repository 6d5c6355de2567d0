"""The queues: what waits, what runs, and who works."""
