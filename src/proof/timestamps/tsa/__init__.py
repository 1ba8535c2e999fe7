"""A time-stamping authority: RFC 3161 tokens, which other people's programs verify."""
