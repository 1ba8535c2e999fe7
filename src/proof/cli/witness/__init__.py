"""Commands of a witness, which needs no installation."""
