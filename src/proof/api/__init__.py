"""The HTTP API: translate and delegate."""
