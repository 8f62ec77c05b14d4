"""What needs an extra: OpenTelemetry, Redis, mDNS, pytest."""
