"""The wire format of the API, as pure functions of values and bytes, without sockets, clocks or an event loop."""
