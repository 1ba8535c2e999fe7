"""What is known of a hash, and the proof that says it to anybody."""
