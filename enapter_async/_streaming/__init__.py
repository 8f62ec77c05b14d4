"""Reads that last longer than one response: streams, watches and histories."""
