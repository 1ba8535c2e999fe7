"""Another Proof as a chain: its own proofs of our trees' roots stand where blocks stand."""
