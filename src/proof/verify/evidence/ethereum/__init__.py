"""Ethereum: headers and the trie of a block's transactions."""
