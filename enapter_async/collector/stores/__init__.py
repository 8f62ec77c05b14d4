"""Places that a collector writes to, one module each."""
