"""/v1: what partners submit, fetch and set."""
