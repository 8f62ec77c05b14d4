"""The API on the wire, as pure functions of values and bytes: no sockets, no clocks, no event loop."""
