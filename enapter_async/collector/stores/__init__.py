"""Stores for collectors, one module each."""
