"""Commands about partners: who they are, and what they may do."""
