"""Network access and its limits: aiohttp, tenacity, rate limits, timers and sockets."""
