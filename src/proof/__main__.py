"""`python -m proof`."""

from proof.main import cli

cli()
