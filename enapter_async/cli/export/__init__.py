"""`enapter-async export`."""
