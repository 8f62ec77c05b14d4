"""The state of a simulator, without a server: sites, devices, telemetry, commands, rules and logs."""
