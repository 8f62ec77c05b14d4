"""From CSV to columns, and from spans of time to requests."""
