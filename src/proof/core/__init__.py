"""Ids, clock, errors, secrets and canonical bytes: no settings, no I/O."""
