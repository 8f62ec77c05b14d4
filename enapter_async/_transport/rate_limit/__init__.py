"""Client-wide rate limiting: the number of requests in flight, and the rate at which they are sent.

`Limiter` admits requests, `Pace` determines the rate, `Spacing` converts it into send times, `SharedLimiter` shares a
rate among processes, and `RetryBudget` limits the load of retries. docs/explanation/rate-limiting.md explains how they
work together.
"""
