"""Roots into Bitcoin, through a bitcoind and its wallet."""
