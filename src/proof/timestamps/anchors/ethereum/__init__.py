"""Ethereum and chains like it: a root travels as the data of a transaction."""
