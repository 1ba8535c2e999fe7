"""Hashes become durable, rounds are sealed, roots are anchored, proofs are given."""
