"""Providers: who moves the money and the coins. They hold no state of ours."""
