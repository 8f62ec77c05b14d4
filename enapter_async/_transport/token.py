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
        self._failures = 0
        self._failure = ""

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
        failures = self._failures
        async with self._lock:
            if self.current is None:
                if self._failures != failures:
                    raise ConfigurationError(self._failure)  # it failed while we waited for it: so it has for us
                self.current = await self._asked(self._provider)
            return self.current

    async def _asked(self, provider: TokenProvider) -> str:
        try:
            return checked_header_value("token", await provider())
        except ConfigurationError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - a provider is foreign code; its fault is kept as the cause
            failed = ConfigurationError(f"the token provider failed: {type(error).__name__}")
            failed.__cause__ = error
        self._failures += 1
        self._failure = str(failed)
        raise failed

    def refused(self, token: str | None) -> bool:
        """Take back a token that the server answered with 401; say whether there can be another."""
        if self._provider is None:
            return False
        if self.current == token:
            self.current = None
        return True
