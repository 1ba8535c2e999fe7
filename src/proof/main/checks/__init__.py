"""What is checked of an installation: before it starts, and by `proof config check`."""
