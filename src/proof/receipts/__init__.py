"""Receipts: every statement about a transaction, provable. Where the ramp and the timestamps meet."""
