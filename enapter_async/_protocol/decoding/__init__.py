"""From JSON to models."""
