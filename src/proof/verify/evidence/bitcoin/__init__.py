"""Bitcoin: headers, transactions, Merkle paths."""
