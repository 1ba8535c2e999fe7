"""A log read from outside: every byte of it is checked up to a signed root before it is believed."""
