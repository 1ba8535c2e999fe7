"""An external time-stamping authority as a chain: its RFC 3161 tokens stand where blocks stand."""
