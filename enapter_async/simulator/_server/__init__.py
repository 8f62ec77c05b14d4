"""The server behind `Simulator`.

- `world/` has the state, without a server: sites, devices, telemetry, commands, rules and logs.
- `manifests/` reads and checks blueprints.
- `exchange/` reads one request and writes its response, or the frames of a WebSocket.
- `resources/` has the operations, one module per resource, and `catalogue/` the equipment that can be simulated.
- `control/` has the control API and its page.

`server` runs each request through faults, rate limit, token and role to its operation, and `simulator` joins them.
"""
