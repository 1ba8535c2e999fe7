"""Commands of those who stamp and verify."""
