"""The pages of webhooks: states that call services, pages that show states."""
