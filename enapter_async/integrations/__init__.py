"""Integrations that need extras: OpenTelemetry, Redis, mDNS, pytest and others."""
