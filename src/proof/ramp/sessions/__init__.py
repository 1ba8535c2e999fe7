"""Widget sessions: what a partner's backend opens, and what the hosted page does with them."""
