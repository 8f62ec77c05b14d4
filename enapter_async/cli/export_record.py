"""What an export exports, as it is kept in its folder: the second start asks exactly what the first one did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from enapter_async import HistoryPlan, Series, TimeseriesQuery, plan_history
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.export_formats import Units
from enapter_async.cli.selection import Selected

_VERSION: Final = 1
_DEVICES_PER_REQUEST: Final = 10


@attrs.frozen(kw_only=True)
class Asked:
    """The question as the user asked it.

    Attributes:
        server: Where the data are from.
        since: `--from` as it was written.
        until: `--until` as it was written.
        granularity: Seconds of a step.
        aggregation: How values of a step become one; None leaves it to the server.
        window: Seconds of a request; None for the usual.
        devices: Devices as they were named; none for all.
        attributes: Attributes; none for all numeric ones.
        format: Name of the format.
    """

    server: str
    since: str
    until: str
    granularity: float
    aggregation: str | None
    window: float | None
    devices: list[str]
    attributes: list[str]
    format: str

    def difference(self, other: dict[str, Any]) -> str | None:
        """Return what another question has that this one has not, in words; None if they are the same."""
        for name, value in attrs.asdict(self).items():
            if other.get(name) != value:
                option = {"server": "the server", "since": "--from"}.get(name, f"--{name.removesuffix('s')}")
                return f"{option} was {_shown(other.get(name))} and is {_shown(value)}"
        return None


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "not given"  # pyright: ignore[reportUnknownArgumentType]
    return "not given" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@attrs.frozen
class Record:
    """An export.

    Attributes:
        plan: Its requests.
        units: Units of what it asks for, by device and attribute.
    """

    plan: HistoryPlan
    units: Units

    @classmethod
    def make(cls, asked: Asked, start: datetime, end: datetime, selected: list[Selected]) -> Record:
        """Plan an export.

        Raises:
            InvalidArgumentError: Something of the question cannot be.
        """
        query = TimeseriesQuery(
            start=start,
            end=end,
            granularity=asked.granularity,
            series=[Series(one.device, list(one.attributes)) for one in selected],
            aggregation=asked.aggregation,
        )
        plan = plan_history(query, window=asked.window, devices_per_request=_DEVICES_PER_REQUEST)
        return cls(plan, {one.device: one.units for one in selected})

    def to_json(self, asked: Asked) -> dict[str, Any]:
        """Return what is to be kept."""
        query = self.plan.query
        return {
            "version": _VERSION,
            "asked": attrs.asdict(asked),
            "start": query.start.astimezone(UTC).isoformat(),
            "end": query.end.astimezone(UTC).isoformat(),
            "window": self.plan.window.total_seconds(),
            "devices_per_request": _DEVICES_PER_REQUEST,
            "units": self.units,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any], asked: Asked, folder: object) -> Record:
        """Read what was kept.

        Args:
            kept: What `to_json` returned.
            asked: What is asked now.
            folder: Where it was kept, for messages.

        Raises:
            Failure: It is another export, or of another version.
        """
        if kept.get("version") != _VERSION:
            raise Failure(f"{folder} is of another version of this program; remove it to begin anew", Exit.STORAGE)
        if difference := asked.difference(kept["asked"]):
            raise Failure(
                f"{folder} is of an export of something else: {difference}; ask the same to go on with it, choose"
                " another name, or remove it to begin anew",
                Exit.USAGE,
            )
        query = TimeseriesQuery(
            start=datetime.fromisoformat(kept["start"]),
            end=datetime.fromisoformat(kept["end"]),
            granularity=asked.granularity,
            series=[Series(device, list(units)) for device, units in kept["units"].items()],
            aggregation=asked.aggregation,
        )
        window = timedelta(seconds=kept["window"])
        plan = plan_history(query, window=window, devices_per_request=kept["devices_per_request"])
        return cls(plan, kept["units"])
