"""Backups, restoring them, and new keys."""
