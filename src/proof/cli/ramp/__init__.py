"""Commands about the ramp: providers, transactions, people."""
