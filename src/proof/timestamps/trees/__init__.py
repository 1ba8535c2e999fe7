"""Rounds become Merkle trees."""
