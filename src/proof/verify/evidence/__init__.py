"""What proves that a root existed: each kind with its format, its checks and its report."""
