"""`enapter-async plot`."""
