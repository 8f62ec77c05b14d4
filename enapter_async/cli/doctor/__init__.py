"""`enapter-async doctor`."""
