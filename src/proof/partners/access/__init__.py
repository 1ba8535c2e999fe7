"""Who may call: credentials, addresses, rates, and what is refused."""
