"""Who may come in, and what they may do: users, sessions, API keys, and the gate before Reflex."""
