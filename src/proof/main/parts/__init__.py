"""What the processes are made of, opened as the settings say."""
