"""Mail: an outbox in the database, sent over SMTP by the queue `email`."""
