"""Ethereum and chains like it: a root travels as the data of a transaction."""

import sys

# A library below it raises the recursion limit to 100,000, and deeply nested input then ends the process
# instead of raising RecursionError.
_limit = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401

sys.setrecursionlimit(_limit)
