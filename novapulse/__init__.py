"""NovaPulse."""
