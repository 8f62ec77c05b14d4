"""What talks to the network, and decides who may: aiohttp, tenacity, limits, timers and sockets."""
