"""One thin namespace per resource: it builds a Request and names a result type."""
