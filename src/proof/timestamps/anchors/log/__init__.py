"""The embedded chain: an append-only RFC 6962 log of rounds by their two roots, with signed checkpoints."""
