"""Operations: what is served, under which paths, for whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs
from aiohttp import web

from .roles import Role

if TYPE_CHECKING:
    from .exchange.call import Call

Mode = Literal["any", "cloud", "gateway"]
Handler: TypeAlias = "Callable[[Call], Awaitable[web.StreamResponse]]"
SITE = "/v3/sites/{site_id}"


@attrs.frozen
class Operation:
    """One operation of `openapi.yaml`.

    Attributes:
        id: Its operationId.
        method: HTTP method.
        path: Path template.
        handler: Answers it.
        role: Lowest role, or None if no token is needed.
        mode: The only kind of server that has it (reference.md, section 14), or None for both.
    """

    id: str
    method: str
    path: str
    handler: Handler
    role: Role | None = Role.READONLY
    mode: Literal["cloud", "gateway"] | None = None

    def served_in(self, mode: Mode) -> bool:
        """Return whether a kind of server has the operation. Mode `any` has all."""
        return mode == "any" or self.mode is None or self.mode == mode


class Operations:
    """The operations of one resource, collected by decorators."""

    def __init__(self) -> None:
        self.all: list[Operation] = []

    def add(
        self,
        method: str,
        path: str,
        operation_id: str,
        *,
        role: Role | None = Role.READONLY,
        mode: Literal["cloud", "gateway"] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler."""

        def register(handler: Handler) -> Handler:
            self.all.append(Operation(operation_id, method, path, handler, role, mode))
            return handler

        return register

    def device(
        self,
        method: str,
        path: str,
        operation_id: str,
        *,
        scoped_id: str | None = None,
        role: Role | None = Role.READONLY,
        mode: Literal["cloud", "gateway"] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler below `/v3/devices` and below `/v3/sites/{site_id}/devices`.

        The newest CLI puts the site in front of every device path (reference.md, Streams).
        """

        def register(handler: Handler) -> Handler:
            for prefix, name in (("/v3", operation_id), (SITE, scoped_id or operation_id)):
                self.all.append(Operation(name, method, f"{prefix}/devices{path}", handler, role, mode))
            return handler

        return register

    def rule_engine(
        self,
        method: str,
        path: str,
        operation_id: str,
        *,
        role: Role = Role.READONLY,
        mode: Literal["cloud", "gateway"] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler below a site's rule engine and below the Gateway's own."""
        gateway_id = f"gateway{operation_id[0].upper()}{operation_id[1:]}"

        def register(handler: Handler) -> Handler:
            self.all.append(Operation(operation_id, method, f"{SITE}/rule_engine{path}", handler, role, mode))
            self.all.append(Operation(gateway_id, method, f"/v3/site/rule_engine{path}", handler, role, mode="gateway"))
            return handler

        return register
