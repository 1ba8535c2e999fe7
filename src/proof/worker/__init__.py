"""The work nobody waits for: sealing, the log, deliveries."""
