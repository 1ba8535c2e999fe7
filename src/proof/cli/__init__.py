"""The command line: translate and delegate."""
