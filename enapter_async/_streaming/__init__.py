"""What outlives one answer: streams, watches, histories."""
