"""The documentation of an installation, served by itself: no scripts, nobody else's servers."""
