"""Hashes come in, and are durable before anybody is told so."""
