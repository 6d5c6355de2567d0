"""The pages of security: states that call services, pages that show states."""
