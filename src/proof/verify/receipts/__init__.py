"""Receipts: what an operator said of a transaction, and when. Loaded when one is checked, not before."""
