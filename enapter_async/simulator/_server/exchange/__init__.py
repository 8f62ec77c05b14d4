"""One exchange with a client: read a request, and write the response or the frames of a WebSocket."""
