"""Client-wide rate limiting: how many requests are in flight, and how fast they follow each other."""
