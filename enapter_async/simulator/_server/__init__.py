"""The server behind `Simulator`: its world, its HTTP side, and the control API."""
