"""Code shared by all resources: paths with and without a site, pagers, and raw access."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from enapter_async._protocol import query
from enapter_async._protocol.decoding.envelopes import PageOf
from enapter_async._protocol.request import Operation, Request
from enapter_async._protocol.urls import segment
from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async.pagination import DEFAULT_CONCURRENCY, Page, Pager
from enapter_async.response import Response

T = TypeVar("T")
P = ParamSpec("P")

_LEAST: Final = 0.001  # seconds; the session fails a call that has no time left


class Resource:
    """A namespace of operations over one session.

    Methods list only the errors that are specific to them. Any call can raise `InvalidArgumentError` before anything
    is sent. After that it can raise `AuthenticationError` (the token), `PermissionDeniedError` (the role),
    `RateLimitedError`, `ServerError`, `TransportError`, `DeadlineExceededError`, `DecodeError` and
    `ClientClosedError`. Calls that are never re-sent after an ambiguous failure can also raise `OutcomeUnknownError`.
    The table of operations in the documentation lists the safety class and the role of each method.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def _countdown(self, timeout: float | None) -> Callable[[], float]:
        """Return a function that returns the seconds left for a call of several requests."""
        seconds = self._session.timeouts.total if timeout is None else require_timeout(timeout)
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        return lambda: max(deadline - now(), _LEAST)

    def _pager(
        self,
        operation: Operation,
        path: str,
        decode: PageOf[T],
        *,
        key: Callable[[T], Hashable] | None,
        filters: list[tuple[str, str]],
        page_size: int | None,
        offset: int,
        max_items: int | None,
        concurrency: int | None,
        timeout: float | None,
        default_concurrency: int = DEFAULT_CONCURRENCY,
        probing: bool = False,
    ) -> Pager[T]:
        """Return a pager over requests of one operation. With `probing`, the first has neither limit nor offset."""
        if timeout is not None:
            require_timeout(timeout)

        async def page(pairs: list[tuple[str, str]], start: int) -> Page[T]:
            request = Request(operation, path, query.encode(pairs))
            items, total_count = await self._session.send(request, decode, timeout)
            return Page(items, start, total_count)

        async def fetch(start: int, limit: int) -> Page[T]:
            pairs = [*filters, ("limit", str(limit))]
            if start:
                pairs.append(("offset", str(start)))
            return await page(pairs, start)

        async def probe() -> Page[T]:
            return await page(filters, 0)

        return Pager(
            fetch,
            operation=(operation.name, operation.method, path),
            key=key,
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            default_concurrency=default_concurrency,
            probe=probe if probing else None,
        )


def site_path(site_id: str, *rest: str) -> str:
    """Return a path below a site. `rest` is already encoded."""
    return "/".join(("v3/sites", segment(site_id, "site_id"), *rest))


def device_path(device_id: str, site_id: str | None, *rest: str) -> str:
    """Return a path below a device, site-scoped if a site is given. `rest` is already encoded.

    Both kinds of path work. On the Cloud, a slug works only in site-scoped paths (reference.md, Operations).
    """
    device = segment(device_id, "device_id")
    if site_id is None:
        return "/".join(("v3/devices", device, *rest)) if rest else "v3/devices/" + device
    return site_path(site_id, "devices", device, *rest)


def rule_engine_path(site_id: str | None, *rest: str) -> str:
    """Return a path below a site's rule engine, or below the Gateway's own if no site is given."""
    if site_id is None:
        return "/".join(("v3/site/rule_engine", *rest))
    return site_path(site_id, "rule_engine", *rest)


class RawResource:
    """Base class of the raw resources, whose methods return a `Response` around every value."""

    def __init__(self, plain: Resource) -> None:
        """Wrap a resource on a raw session."""
        self._plain = plain


def raw(
    method: Callable[Concatenate[Any, P], Awaitable[T]],
) -> Callable[[Callable[[Any], None]], Callable[Concatenate[Any, P], Awaitable[Response[T]]]]:
    """Make a method of a `RawResource` that calls a method of its resource, and type it.

    Type checkers take the signature from the method. The decorated function only gives the name and the docstring.
    """

    def decorate(twin: Callable[[Any], None]) -> Callable[Concatenate[Any, P], Awaitable[Response[T]]]:
        @wraps(twin)
        async def send(self: RawResource, /, *args: P.args, **kwargs: P.kwargs) -> Response[T]:
            return cast("Response[T]", await method(self._plain, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

        send.__wrapped__ = method  # type: ignore[assignment]  # the signature, for `help` and mocks
        return send

    return decorate
