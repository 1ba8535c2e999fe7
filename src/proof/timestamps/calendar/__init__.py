"""An OpenTimestamps calendar over the same rounds: unmodified clients stamp and upgrade against it."""
