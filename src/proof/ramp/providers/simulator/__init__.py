"""The simulator: a provider without money that behaves as a real one does over HTTP."""
