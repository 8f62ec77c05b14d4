"""The source of the token: a string, or a provider that is called as rarely as possible."""

from __future__ import annotations

import asyncio

from enapter_async._protocol.failure import copy_error
from enapter_async.config import TokenProvider, checked_token
from enapter_async.errors import ConfigurationError, EnapterError, TokenProviderError


class TokenSource:
    """Holds the token. A provider is called on first use, and again after the server rejected its token."""

    def __init__(self, token: str | TokenProvider | None) -> None:
        self._provider = token if callable(token) else None
        self.current: str | None = None if callable(token) else token
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure: EnapterError | None = None

    @property
    def needs_fetching(self) -> bool:
        """Whether the provider must be called before a request can be sent."""
        return self._provider is not None and self.current is None

    async def fetch_token(self) -> str | None:
        """Return the token. The provider is called at most once for all waiting calls.

        Raises:
            TokenProviderError: The provider raised.
            ConfigurationError: The provider returned an invalid token.
        """
        if self._provider is None:
            return self.current
        failures = self._failures
        async with self._lock:
            if self.current is None:
                if self._failures != failures and self._failure is not None:
                    raise copy_error(self._failure)  # another call asked the provider while this one waited
                self.current = await self._call_provider(self._provider)
            return self.current

    async def _call_provider(self, provider: TokenProvider) -> str:
        failed: EnapterError
        try:
            return checked_token(await provider())
        except ConfigurationError as error:
            failed = copy_error(error)  # the provider may raise the same object each time, and its traceback would grow
        # A provider is foreign code: keep its exception as the cause.
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # the caller was cancelled, not something inside the provider
            failed = TokenProviderError(f"the token provider failed: {type(error).__name__}")
            failed.__cause__ = error
        self._failures += 1
        self._failure = failed
        raise failed

    def drop_rejected(self, token: str | None) -> bool:
        """Drop a token that the server rejected. Return whether the provider may return another one."""
        if self._provider is None:
            return False
        if self.current == token:
            self.current = None
        return True
