"""Historical telemetry (reference.md, Telemetry CSV)."""

from __future__ import annotations

import asyncio
import functools
import math
import zlib
from collections.abc import Iterator
from itertools import compress
from typing import Any

import attrs
from aiohttp import web

from ..errors import Refusal, no_telemetry, unprocessable
from ..exchange.body import Body
from ..exchange.call import Call
from ..exchange.connections import TRUNCATE_AT, break_connection
from ..operations import Operations
from ..times import format_duration, parse_duration, parse_time
from ..world.aggregates import Column, supports
from ..world.cells import quote
from ..world.stated import Record

operations = Operations()

AGGREGATIONS = ("auto", "avg", "last", "min", "max", "bool_or")
_DATA_TYPES = "X-Enapter-Timeseries-Data-Types"
_BLOCK = 4096
_WORK = 65_536  # most minutes, or odd seconds, that one block of a column looks at
_DAY = 86_400
_LONGEST_GRANULARITY = 366 * _DAY


@attrs.frozen
class Series:
    """A column and its heading."""

    heading: str
    column: Column


@operations.add("POST", "/v3/telemetry/query_timeseries", "queryTimeseries")
async def query_timeseries(call: Call) -> web.StreamResponse:
    """Answer a time series query with a stream of CSV."""
    if "text/csv" not in call.request.headers.get("Accept", "").lower():
        raise Refusal(400, "Accept must be text/csv", code="invalid_header", details={"header": "Accept"})
    body = call.body()
    start, end = _time(body, "from"), _time(body, "to")
    if end <= start:
        raise body.refuse("to", "must be later than from")
    series = _series(call, body)
    for one in series:
        points = (end - start) / one.column.granularity
        if points > call.behaviour.max_points:
            raise unprocessable(
                f"a series may have {call.behaviour.max_points} points at most",
                code="too_many_points",
                details={"points": math.ceil(points), "max_points": call.behaviour.max_points},
            )
    return await _send(call, series, _rows(series, start, end))


def _time(body: Body, name: str) -> float:
    value = body.value(name)
    try:
        if isinstance(value, str):
            return parse_time(value)
    except ValueError as error:
        raise body.refuse(name, str(error)) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e11:
        raise body.refuse(name, "expected an RFC 3339 time or Unix seconds")
    return float(value)


def _granularity(body: Body, default: int) -> int:
    text = body.optional_text("granularity")
    if text is None:
        return default
    seconds = _duration(body, "granularity", text)
    if seconds < 1 or seconds != int(seconds) or seconds > _LONGEST_GRANULARITY:
        raise body.refuse("granularity", "must be a whole number of seconds, from 1s to 366 days")
    if seconds > _DAY and seconds % 60:
        raise body.refuse("granularity", "must be whole minutes beyond one day")
    return int(seconds)


def _duration(body: Body, name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise body.refuse(name, str(error)) from None


@attrs.frozen
class Options:
    """How a column is made: what the query says, or one selector of it."""

    granularity: int = 60
    aggregation: str = "auto"
    method: str = "none"
    look_around: float = 0.0

    def of(self, body: Body) -> Options:
        """Read what a query or a selector says otherwise."""
        aggregation = body.choice("aggregation", AGGREGATIONS, self.aggregation)
        return Options(_granularity(body, self.granularity), aggregation, *_gap_filling(body))


def _gap_filling(body: Body) -> tuple[str, float]:
    filling = body.object("gap_filling")
    if filling is None:
        return "none", 0.0
    text = filling.optional_text("look_around")
    look_around = 0.0 if text is None else _duration(filling, "look_around", text)
    return filling.choice("method", ("none", "locf")), look_around


def _series(call: Call, body: Body) -> list[Series]:
    default = Options().of(body)
    devices: set[str] = set()
    exists = False
    series: list[Series] = []
    for selector in body.objects("telemetry"):
        name = selector.text("device")
        device = call.world.devices.find(name)
        devices.add(name if device is None else device.id)
        if device is None:
            continue  # left out, like an attribute that does not exist
        attributes = _attributes(selector)
        options = default.of(selector)
        role = call.grant.role_on(device.site_id)
        forward = call.behaviour.store_and_forward
        for attribute in attributes:
            record = call.world.record(device, attribute, store_and_forward=forward)
            exists = exists or record is not None
            # Attributes that the caller may not read are left out, like those that do not exist.
            if record is not None and device.blueprint.attribute_role(attribute) <= role:
                build = _one_series.__wrapped__ if record.stated else _one_series
                series.append(build(device.id, record, options))
    most = call.behaviour.max_devices
    if most is not None and len(devices) > most:
        raise unprocessable(f"a query may have {most} devices at most", code="too_many_devices")
    if not exists:
        raise no_telemetry()
    return series


def _attributes(selector: Body) -> list[str]:
    value = selector.value("attribute")
    names = [value] if isinstance(value, str) else selector.names("attribute")
    if not names or not all(names):
        raise selector.refuse("attribute", "expected a name or a list of names")
    return names


@functools.lru_cache(maxsize=1024)
def _one_series(device_id: str, record: Record, options: Options) -> Series:
    """Return a column. It is cached, because long histories are requested in parts with the same columns."""
    signal, aggregation = record.track.signal, options.aggregation
    attribute, data_type = signal.name, signal.data_type
    if not supports(data_type, aggregation):
        raise unprocessable(
            f"{attribute}: {data_type} values have no {aggregation}",
            code="unsupported_aggregation",
            details={"attribute": attribute, "aggregation": aggregation},
        )
    labels = {
        "telemetry": attribute,
        "device": device_id,
        "aggregation": aggregation,
        "granularity": format_duration(options.granularity),
        "gap_filling_method": options.method,
        "gap_filling_look_around": format_duration(int(options.look_around)),
    }
    heading = quote(" ".join(f"{name}={value}" for name, value in labels.items()))
    look_around = options.look_around if options.method == "locf" else 0
    column = Column(
        record.track, options.granularity, aggregation, look_around, outages=record.outages, stated=record.stated
    )
    return Series(heading, column)


def _rows(series: list[Series], start: float, end: float) -> Iterator[str]:
    """Yield blocks of rows. Timestamps are the multiples of the granularity within the span."""
    if not series:
        return
    step = math.gcd(*(one.column.granularity for one in series))
    first, last = math.ceil(start / step), math.ceil(end / step)
    heaviest = max(_work(one.column.granularity) / (one.column.granularity // step) for one in series)
    block = max(1, min(_BLOCK, int(_WORK / heaviest)))
    for begin in range(first, last, block):
        count = min(block, last - begin)
        columns = [_spread(one.column, begin, count, step) for one in series]
        lines: Iterator[str] = map(",".join, zip(_stamps(begin, count, step), *columns, strict=True))
        if all("" in column for column in columns):
            lines = compress(lines, map(any, zip(*columns, strict=True)))
        text = "\n".join(lines)
        if text:
            yield text + "\n"


@functools.lru_cache(maxsize=16)
def _stamps(first: int, count: int, step: int) -> list[str]:
    """Write timestamps. They are cached, because the same span is often requested for many devices."""
    return list(map(str, range(first * step, (first + count) * step, step)))


def _work(granularity: int) -> int:
    """Return how many minutes or seconds a bucket covers in the computation."""
    return max(1, granularity // 60) if granularity % 60 == 0 or 60 % granularity == 0 else granularity


def _spread(column: Column, first: int, count: int, step: int) -> list[str]:
    """Return a column's cells at a finer step. Cells between its own timestamps are empty."""
    ratio = column.granularity // step
    if ratio == 1:
        return column.cells(first, count)
    begin, end = -(-first // ratio), -(-(first + count) // ratio)
    cells = [""] * count
    if begin < end:
        cells[begin * ratio - first :: ratio] = column.cells(begin, end - begin)
    return cells


async def _send(call: Call, series: list[Series], blocks: Iterator[str]) -> web.StreamResponse:
    block = next(blocks, None)
    if block is None and call.behaviour.empty_timeseries == "empty":
        return web.Response(content_type="text/csv")
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    types = [one.column.data_type for one in series]
    for value in [",".join(types)] if call.behaviour.joined_data_types else types:
        response.headers.add(_DATA_TYPES, value)
    packer: Any = None
    if "gzip" in call.request.headers.get("Accept-Encoding", "").lower():
        response.headers["Content-Encoding"] = "gzip"
        # The fastest level: the simulator should not spend its time on compression.
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    await response.prepare(call.request)
    call.begin_stream()
    writer = _Writer(call.request, response)
    text: str | None = ",".join(["ts", *(one.heading for one in series)]) + "\n"
    while text is not None and not writer.broken:
        data = text.encode()
        await writer.write(data if packer is None else packer.compress(data))
        if call.stopping.is_set():
            # Cut the connection instead of ending the body: an incomplete series must not look complete.
            break_connection(call.request, reset=True)
            return response
        text, block = block, next(blocks, None) if block is not None else None
        await asyncio.sleep(0)
    if packer is not None and not writer.broken:
        await writer.write(packer.flush())
    return response


class _Writer:
    """Writes the body, up to the byte where a fault cuts it."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._left: int | None = request.get(TRUNCATE_AT)
        self.broken = False

    async def write(self, data: bytes) -> None:
        if self.broken or not data:
            return
        if self._left is None:
            await self._response.write(data)
            return
        await self._response.write(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            break_connection(self._request, reset=False)
            self.broken = True
