"""Evidence of an upstream: the proof that another Proof gave of the root."""
