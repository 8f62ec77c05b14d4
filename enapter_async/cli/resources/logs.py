"""`enapter-async logs`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from enapter_async import LogRecord, LogRetention, LogSeverity
from enapter_async.cli.output import Format, Printer, Shape, output_option
from enapter_async.cli.parameters import option
from enapter_async.cli.resources.declaration import Resource, connect, device_argument, limit_option, site_option
from enapter_async.cli.resources.following import follow_option, following, live_printer
from enapter_async.cli.span import Moment, moment, since_option

if TYPE_CHECKING:
    from enapter_async import EnapterClient

LOG_RECORD = Shape.of(LogRecord, "timestamp", "severity", "message")
_STEP: Final = timedelta(milliseconds=1)

_logs = Resource("logs", "List and follow device logs.")
logs: click.Group = _logs.group


def _list(
    *,
    device_id: str,
    site_id: str | None,
    since: Moment | None,
    until: Moment | None,
    severity: str | None,
    retention: str | None,
    newest_first: bool,
    follow: bool,
    limit: int | None,
    output: Format,
) -> None:
    chosen = {
        "severity": None if severity is None else LogSeverity(severity),
        "retention": None if retention is None else LogRetention(retention),
    }
    if follow:
        if since is not None or until is not None or newest_first:
            raise click.UsageError("--follow begins now: it cannot be used with --since, --until or --newest-first")
        printer = live_printer(output, LOG_RECORD)
        connect(
            following(
                lambda client: client.logs.follow(device_id, site_id=site_id, fill_gaps=True, **chosen),  # type: ignore[arg-type]
                printer,
                limit,
            )
        )
        return
    now = datetime.now(UTC)

    async def work(client: EnapterClient) -> None:
        records = client.logs.list(
            device_id,
            site_id=site_id,
            received_at_gte=None if since is None else since.resolve(now, _STEP),
            # Records that arrive while pages are read would shift the others.
            received_at_lt=now if until is None else until.resolve(now, _STEP),
            order="RECEIVED_AT_DESC" if newest_first else "RECEIVED_AT_ASC",
            max_items=limit,
            **chosen,  # type: ignore[arg-type]
        )
        await Printer(output, LOG_RECORD).write_all(records)

    connect(work)


_logs.add(
    "list",
    _list,
    "List log records of a device, or follow them live.",
    device_argument(),
    site_option,
    since_option(),
    option("--until", type=moment, metavar="TIME", help="End, like --since. [default: now]"),
    option(
        "--severity", type=click.Choice([one.value for one in LogSeverity]), help="Only records with this severity."
    ),
    option(
        "--retention",
        type=click.Choice([one.value for one in LogRetention], case_sensitive=False),
        help="Only persistent or only ephemeral records. [default: ALL]",
    ),
    option("--newest-first", is_flag=True, help="Newest first instead of oldest first."),
    follow_option,
    limit_option,
    output_option,
)
