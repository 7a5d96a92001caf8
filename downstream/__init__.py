"""Published products on CherryPy, run on ours: outside the default tests, by `scripts/downstream`."""
