"""One exchange of a simulator: reading a request, and writing the response or the frames of a WebSocket."""
