"""The processes of `proof serve`: their supervisor, HTTP processes and workers."""
