"""Client-wide rate limiting: how many requests are in flight, and how fast they follow each other.

`Limiter` admits requests, `Pace` knows the rate, `Spacing` turns it into times, `SharedLimiter` shares a rate among
processes, and `RetryBudget` bounds what retries add. docs/explanation/rate-limiting.md shows a request on its way.
"""
