"""Proof: a partner platform whose every statement can be proved."""

__version__ = "0.1.0"
