"""Keys and secrets that are replaced without a gap: those that sign sessions, and those of webhooks."""
