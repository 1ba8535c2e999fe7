"""Mercuryo."""
