"""Commands about the log that gives hashes their time."""
