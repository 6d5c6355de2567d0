"""The first page: the last 24 hours and this very second."""
