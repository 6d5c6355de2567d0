"""What operators ask: is it healthy, which version, how is the API called."""
