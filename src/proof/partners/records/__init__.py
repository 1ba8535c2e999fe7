"""Partner records: what an operator enters, checked, stored and compared."""
