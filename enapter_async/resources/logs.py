"""Logs: what devices say about themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias

from enapter_async._protocol import query
from enapter_async._protocol.decoding.envelopes import PageOf
from enapter_async._protocol.decoding.frames import LOG_RECORD
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.values import format_time
from enapter_async._streaming.log_catch_up import LogCatchUp
from enapter_async._streaming.stream import Stream
from enapter_async._streaming.stream_reader import Subscription
from enapter_async.config import StreamPolicy
from enapter_async.models.logs import LogRecord, LogRetention, LogSeverity
from enapter_async.pagination import Pager
from enapter_async.resources._resource import Resource, device_path

LogOrder: TypeAlias = Literal["RECEIVED_AT_ASC", "RECEIVED_AT_DESC"]
"""Order of a list of log records: oldest or newest first."""
LogRetentionName: TypeAlias = Literal["ALL", "PERSISTENT", "EPHEMERAL"]
"""How long log records are kept, as a literal."""
LogSeverityName: TypeAlias = Literal["debug", "info", "warning", "error"]
"""Severity of a log record, as a literal."""

_LIST: Final = Operation("logs.list", "GET", Safety.READ)
_FOLLOW: Final = Operation("logs.follow", "GET", Safety.READ)

_PAGE: Final = PageOf("logs", LogRecord)
_ORDERS: Final = frozenset({"RECEIVED_AT_ASC", "RECEIVED_AT_DESC"})


class Logs(Resource):
    """Log records of devices."""

    def list(
        self,
        device_id: str,
        *,
        site_id: str | None = None,
        received_at_gte: datetime | None = None,
        received_at_lt: datetime | None = None,
        severity: LogSeverity | LogSeverityName | None = None,
        order: LogOrder | None = None,
        retention: LogRetention | LogRetentionName | None = None,
        page_size: int | None = None,
        offset: int = 0,
        max_items: int | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> Pager[LogRecord]:
        """List log records of a device.

        Records have no identifier: where new ones come in while descending pages are read, some come twice.
        `received_at_lt` keeps the list still.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            site_id: Site of the device.
            received_at_gte: Only records received at or after this aware datetime.
            received_at_lt: Only records received before this aware datetime.
            severity: Only records of this one severity.
            order: RECEIVED_AT_ASC (the server's default) or RECEIVED_AT_DESC.
            retention: Which records: ALL (the server's default), PERSISTENT or EPHEMERAL.
            page_size: Items to ask for at once, 1 to 50.
            offset: Items to skip.
            max_items: Most items to give.
            concurrency: Most pages in flight; 1 = one after the other.
            timeout: Seconds for each request.

        Returns:
            A `Pager`; nothing is sent before it is iterated. Re-sent freely. Role: not documented, at least
            READONLY.

        Raises:
            InvalidArgumentError: A time is naive, or an argument is none of the known values.
        """
        filters: list[tuple[str, str]] = []
        if received_at_gte is not None:
            filters.append(("received_at.gte", format_time(received_at_gte, "received_at_gte")))
        if received_at_lt is not None:
            filters.append(("received_at.lt", format_time(received_at_lt, "received_at_lt")))
        if severity is not None:
            filters.append(("severity", query.member(severity, LogSeverity, "severity")))
        if order is not None:
            filters.append(("order", query.one_of(order, _ORDERS, "order")))
        if retention is not None:
            filters.append(("retention", query.member(retention, LogRetention, "retention")))
        return self._pager(
            _LIST,
            device_path(device_id, site_id, "logs"),
            _PAGE,
            key=None,
            filters=filters,
            page_size=page_size,
            offset=offset,
            max_items=max_items,
            concurrency=concurrency,
            timeout=timeout,
        )

    def follow(
        self,
        device_id: str,
        *,
        site_id: str | None = None,
        severity: LogSeverity | LogSeverityName | None = None,
        retention: LogRetention | LogRetentionName | None = None,
        fill_gaps: bool = False,
        policy: StreamPolicy | None = None,
        timeout: float | None = None,
    ) -> Stream[LogRecord]:
        """Follow the log of a device, live.

        Use it as `async with client.logs.follow(device_id) as stream: async for record in stream: ...`.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            site_id: Site of the device.
            severity: Only records of this one severity.
            retention: Which records: ALL (the server's default), PERSISTENT or EPHEMERAL.
            fill_gaps: After a lost connection, list what was missed and give it, each record once, before what
                comes next. As complete as the server's list is at that moment. Otherwise it stays missed.
            policy: How the stream is kept open, and what happens when records come faster than they are taken.
            timeout: Seconds for opening it.

        Returns:
            A `Stream`; nothing is sent before it is entered. Lost connections are reported as `StreamGap`. Role:
            not documented, at least READONLY.

        Raises:
            InvalidArgumentError: An argument is none of the known values.
        """
        filters: list[tuple[str, str]] = []
        if severity is not None:
            filters.append(("severity", query.member(severity, LogSeverity, "severity")))
        if retention is not None:
            filters.append(("retention", query.member(retention, LogRetention, "retention")))
        request = Request(_FOLLOW, device_path(device_id, site_id, "logs"), query.encode(filters))

        def list_since(time: datetime | None) -> Pager[LogRecord]:
            return self.list(
                device_id,
                site_id=site_id,
                received_at_gte=time,
                severity=severity,
                order="RECEIVED_AT_ASC",
                retention=retention,
            )

        filling = query.flag(fill_gaps, "fill_gaps")
        subscription = Subscription(request, catch_up=LogCatchUp(list_since) if filling else None)
        return Stream(self._session, [subscription], LOG_RECORD, policy=policy, timeout=timeout)
