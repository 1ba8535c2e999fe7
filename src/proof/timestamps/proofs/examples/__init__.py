"""The static examples that partners try their receivers with; see scripts/build_examples.py."""
