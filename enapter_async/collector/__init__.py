"""Collection of telemetry from the API into a store, completed from history.

In a program:

    async with EnapterClient.from_env() as client, SqliteStore("telemetry.sqlite") as store:
        await Collector(client, store, selection=Selection(attributes="all")).run()
"""

from enapter_async.collector.collector import Collector
from enapter_async.collector.events import (
    AttributesChanged,
    CollectorEvent,
    DeviceAdded,
    DeviceClockWrong,
    DeviceRemoved,
    GapsFilled,
    GapsNoted,
    OutputReopened,
    ProblemBegan,
    ProblemEnded,
    Skipped,
)
from enapter_async.collector.gaps import Gap, GapKind
from enapter_async.collector.repair import RepairError, repair_gaps
from enapter_async.collector.selection import Selection, Targets
from enapter_async.collector.shard import Shard
from enapter_async.collector.statistics import CollectorStatistics
from enapter_async.collector.store import (
    GapNotingStore,
    JournaledStore,
    ReopenableStore,
    ReportingStore,
    RowKey,
    RowsRefusedError,
    Store,
    StoreMethodError,
)
from enapter_async.collector.stores.lines import LineStore
from enapter_async.collector.stores.opening import (
    FORMATS,
    SUFFIXES,
    guess_store_format,
    make_store,
    opened_store,
    show_target,
)
from enapter_async.collector.stores.sqlite import SqliteStore

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "AttributesChanged",
    "Collector",
    "CollectorEvent",
    "CollectorStatistics",
    "DeviceAdded",
    "DeviceClockWrong",
    "DeviceRemoved",
    "Gap",
    "GapKind",
    "GapNotingStore",
    "GapsFilled",
    "GapsNoted",
    "JournaledStore",
    "LineStore",
    "OutputReopened",
    "ProblemBegan",
    "ProblemEnded",
    "ReopenableStore",
    "RepairError",
    "ReportingStore",
    "RowKey",
    "RowsRefusedError",
    "Selection",
    "Shard",
    "Skipped",
    "SqliteStore",
    "Store",
    "StoreMethodError",
    "Targets",
    "guess_store_format",
    "make_store",
    "opened_store",
    "repair_gaps",
    "show_target",
]
