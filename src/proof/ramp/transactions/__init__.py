"""Transactions: how far each is, the events it made, and who moves it."""
