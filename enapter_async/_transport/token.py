"""Where the token comes from: a string, or a provider that is asked as seldom as possible."""

from __future__ import annotations

import asyncio

from enapter_async.config import TokenProvider, checked_header_value
from enapter_async.errors import ConfigurationError


class TokenSource:
    """Holds the token; a provider is asked when first needed, and again after its token was refused."""

    def __init__(self, token: str | TokenProvider | None) -> None:
        self._provider = token if callable(token) else None
        self.current: str | None = None if callable(token) else token
        self._lock = asyncio.Lock()

    @property
    def needs_asking(self) -> bool:
        """Whether the provider must be asked before a request can be sent."""
        return self._provider is not None and self.current is None

    async def ask(self) -> str | None:
        """Return the token, asking the provider at most once for all who wait.

        Raises:
            ConfigurationError: The provider failed, or gave something that cannot be a token.
        """
        if self._provider is None:
            return self.current
        async with self._lock:
            if self.current is None:
                try:
                    token = await self._provider()
                except Exception as error:
                    raise ConfigurationError(f"the token provider failed: {type(error).__name__}") from error
                self.current = checked_header_value("token", token)
            return self.current

    def refused(self, token: str | None) -> bool:
        """Take back a token that the server answered with 401; say whether there can be another."""
        if self._provider is None:
            return False
        if self.current == token:
            self.current = None
        return True
