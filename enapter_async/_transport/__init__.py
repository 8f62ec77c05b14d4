"""The only rooms that sleep or talk: aiohttp, tenacity, timers and sockets."""
