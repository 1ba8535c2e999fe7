"""Where roots go: chains that say, for anybody to check, when a root existed."""
