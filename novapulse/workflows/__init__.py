"""Durable runs of several steps: what the queue `workflow` does."""
