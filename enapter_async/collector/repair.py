"""Repair of a store without live collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

from enapter_async import EnapterClient
from enapter_async._arguments import require_callback, require_instance
from enapter_async.collector._arguments import require_interval, require_selection
from enapter_async.collector._beginning import read_clock_offset
from enapter_async.collector._guarded_store import guard_journal
from enapter_async.collector._problems import Problems
from enapter_async.collector._repairer import Repairer
from enapter_async.collector._reporting import Reporter
from enapter_async.collector._times import SECOND, read_clock
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.selection import Finder, Selection, includes_all_devices
from enapter_async.collector.store import JournaledStore
from enapter_async.errors import EnapterError, RequestError

_MOST_NAMED: Final = 3


class RepairError(EnapterError):
    """Raised at the end of a repair if history could not be read for some gaps. They stay in the journal.

    All other gaps are filled. The first failure is the cause.

    Attributes:
        rows: Number of rows filled in.
        failures: The last error by device; None for a gap of all devices.
    """

    def __init__(self, rows: int, failures: Mapping[str | None, RequestError]) -> None:
        named = [f"{device or 'all devices'}: {error}" for device, error in islice(failures.items(), _MOST_NAMED)]
        more = len(failures) - _MOST_NAMED
        named += [f"and {more:,} more"] if more > 0 else []
        super().__init__(f"some gaps stay recorded, because their history cannot be read: {'; '.join(named)}")
        self.rows: int = rows
        self.failures: Mapping[str | None, RequestError] = failures


async def repair_gaps(
    client: EnapterClient,
    store: JournaledStore,
    *,
    selection: Selection | None = None,
    interval: float | timedelta = 1.0,
    on_event: Callable[[CollectorEvent], object] = lambda _: None,
) -> int:
    """Fill the gaps in the journal of a store, without collecting new data.

    Args:
        client: To read with.
        store: With the journal, open already.
        selection: Devices and attributes to fill. The default is all numeric telemetry of all devices.
        interval: Seconds or timedelta between two rows.
        on_event: A quick synchronous callable that receives every event.

    Returns:
        The number of rows filled in. Gaps that cannot be filled, for example because their device is gone, stay in the
        journal.

    Raises:
        InvalidArgumentError: An argument is invalid.
        SelectionError: The token cannot see any device or attribute of the selection.
        RepairError: History cannot be read for some gaps. The others are filled.
        StorageError: The store cannot be read or written.
        EnapterError: History cannot be read at all, or the API rejects the token.
    """
    require_instance(client, EnapterClient, "client")
    require_instance(store, JournaledStore, "store")
    report = Reporter(require_callback(on_event, "on_event"))
    seconds = require_interval(interval)
    selection = require_selection(selection)
    targets = await Finder(client, selection).find()
    report.names.update(targets.names)
    # With a clock that is ahead, history would be read before it exists, and its gap would end without its rows.
    offset = round((await read_clock_offset(client, targets) or 0.0) * SECOND)

    repairer = Repairer(
        client,
        guard_journal(store),
        lambda: targets.units,
        step=max(1, -int(-seconds // 1)),
        now=lambda: read_clock() + offset,
        problems=Problems(report),
        report=report,
        knows_all=includes_all_devices(selection),
    )
    await repairer.fill_all()
    if repairer.failures:
        raise RepairError(repairer.rows, repairer.failures) from next(iter(repairer.failures.values()))
    return repairer.rows
