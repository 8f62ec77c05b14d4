"""`enapter-async collect` and `enapter-async gaps`."""
