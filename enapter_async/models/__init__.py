"""Immutable attrs classes, one module per resource of the API."""
