"""The asyncio SDK for Enapter energy systems."""

__version__ = "0.1.0.dev0"
