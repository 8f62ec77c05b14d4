"""Log records that devices send."""

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
    """List and follow the log records of devices."""

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

        Records have no ID. If new records arrive while you read pages in descending order, some records are returned
        twice. Set `received_at_lt` to prevent this.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            received_at_gte: Only records received at or after this aware datetime.
            received_at_lt: Only records received before this aware datetime.
            severity: Only records of this one severity.
            order: RECEIVED_AT_ASC (the server's default) or RECEIVED_AT_DESC.
            retention: ALL (the server's default), PERSISTENT or EPHEMERAL records.
            page_size: Items per request, 1 to 50.
            offset: Number of items to skip.
            max_items: Maximum number of items to return.
            concurrency: Maximum number of pages requested at once. 1 requests them one after another.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Pager`. Requests are sent when you iterate or await it.

        Raises:
            InvalidArgumentError: A datetime is naive, or an argument is not one of the known values.
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
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            severity: Only records of this one severity.
            retention: ALL (the server's default), PERSISTENT or EPHEMERAL records.
            fill_gaps: After a lost connection, list the missed records and return each of them once, before newer
                ones. The result is as complete as the server's list is at that moment. By default missed records are
                lost.
            policy: How to keep the stream open, and what to do when records arrive faster than you read them.
            timeout: Timeout for opening the stream, in seconds.

        Returns:
            A `Stream`, which connects when you enter it. Lost connections are reported as `StreamGap`.

        Raises:
            InvalidArgumentError: An argument is not one of the known values.
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
