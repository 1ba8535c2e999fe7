"""The embedded chain: an append-only RFC 6962 log of round roots, with signed checkpoints."""
