"""Decoding of JSON into models."""
