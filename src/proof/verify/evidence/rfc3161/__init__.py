"""Tokens of time-stamping authorities (RFC 3161)."""
