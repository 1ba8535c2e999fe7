"""OpenTimestamps files."""
