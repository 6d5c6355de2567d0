"""The pages of `/jobs`."""
