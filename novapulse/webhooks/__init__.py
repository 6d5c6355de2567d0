"""Webhooks: where to send, what happened, what was sent, and what came of it."""
