"""Time series of endless kinds: what was encoded is what is decoded, however the wire cuts it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enapter_async._protocol.gzip import GzipDecoder
from enapter_async._protocol.timeseries import reader as timeseries
from enapter_async._protocol.timeseries.reader import Engine, TimeseriesReader
from enapter_async._protocol.timeseries.table_builder import TimeseriesCollector
from enapter_async.errors import EnapterError, TimeseriesFormatError

try:
    import pyarrow as pa
except ImportError:  # the extra `arrow` is not installed
    pa = None

ENGINES: tuple[Engine, ...] = ("standard",) if pa is None else ("standard", "arrow")

# The first text drawn on a machine makes hypothesis list all of Unicode.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Table = tuple[list[str], list[int], list[list[object]]]
"""Data types, timestamps, values by column."""

TEXT = st.text(min_size=1, max_size=8) | st.sampled_from(
    ['a "quoted" word', "limited, hot", "two\nlines", "two\r\nlines", "\r", "\n", '"', '""', " ", "nan", "1", "[]"]
)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "float": st.floats(),
    "integer": st.integers() | st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "string": TEXT,
    "string_array": st.lists(TEXT | st.just(""), max_size=3),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5))
    moments = draw(st.lists(st.integers(-(10**10), 10**11), unique=True, max_size=12).map(sorted))
    columns = [draw(st.lists(st.none() | VALUES[kind], min_size=len(moments), max_size=len(moments))) for kind in types]
    return types, moments, columns


@st.composite
def encodings(draw: st.DrawFn, table: Table) -> bytes:
    """The table as CSV, in one of the ways that the format allows."""
    types, moments, columns = table
    flags = st.randoms(use_true_random=False)
    random = draw(flags)
    line_end = draw(st.sampled_from(["\n", "\r\n"]))

    def cell(value: object, kind: str) -> str:
        if value is None:
            return random.choice(["", '""'])
        match kind:
            case "float":
                text = random.choice([repr(value), repr(value).upper(), repr(value).replace("e+", "e")])
            case "integer":
                text = str(value)
            case "boolean":
                text = random.choice([str(value), str(value).lower(), str(value).upper(), str(int(bool(value)))])
            case "string_array":
                text = json.dumps(value, ensure_ascii=random.random() < 0.5)
            case _:
                text = str(value)
        if any(mark in text for mark in ',"\r\n') or random.random() < 0.1:
            return '"' + text.replace('"', '""') + '"'
        return text

    header = ["ts", *(f"telemetry=a{i} device=d{i % 2} note=x=y" for i in range(len(types)))]
    lines = [",".join(header)]
    for row, moment in enumerate(moments):
        lines += [""] * (random.random() < 0.1)
        lines.append(",".join([str(moment), *(cell(c[row], k) for c, k in zip(columns, types, strict=True))]))
    return (line_end.join(lines) + random.choice(["", line_end, line_end * 2])).encode()


def chunked(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The body cut into chunks of these sizes, over and over."""
    offset = index = 0
    while offset < len(body):
        size = sizes[index % len(sizes)]
        yield body[offset : offset + size]
        offset += size
        index += 1


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Small blocks: a body of a few hundred bytes then has many borders."""
    with mock.patch.object(timeseries, "BLOCK", size), mock.patch.object(timeseries, "ARROW_BLOCK", size):
        yield


def decode(body: bytes, types: list[str], engine: Engine, sizes: list[int], block: int) -> Table:
    with blocks_of(block):
        reader = TimeseriesReader([",".join(types)] if types else [], engine=engine)
        batches = [batch for chunk in chunked(body, sizes) for batch in reader.feed(chunk)]
        batches += reader.finish(complete=True)
    assert reader.columns is not None
    collector = TimeseriesCollector(reader.columns)
    for batch in batches:
        assert len(batch) > 0
        collector.add(batch)
    table = collector.result()
    assert reader.rows == len(table)
    return (
        [column.data_type.value for column in table.columns],
        list(table.unix_seconds),
        [column.values for column in table.columns],
    )


SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=5)
BLOCKS = st.sampled_from([1, 16, 100, 65536])


@pytest.mark.parametrize("engine", ENGINES)
@patient
@given(data=st.data(), table=tables(), sizes=SIZES, block=BLOCKS)
def test_a_table_comes_back_however_it_is_cut(
    engine: Engine, data: st.DataObject, table: Table, sizes: list[int], block: int
) -> None:
    body = data.draw(encodings(table), "body")
    # repr: NaN equals itself, 1 is not True, and 1.0 is not 1.
    assert repr(decode(body, table[0], engine, sizes, block)) == repr(table)


def outcome(body: bytes, types: list[str], engine: Engine, sizes: list[int], block: int) -> str:
    try:
        return repr(decode(body, types, engine, sizes, block))
    except TimeseriesFormatError as error:
        return f"{error} at {error.row}, {error.column}"


NOISE = st.binary(max_size=3) | st.sampled_from(
    [
        *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b" ", b"\t", b"_", b"\xff", b"\0", b"\xd9\xa1", b"\xef\xbb\xbf"),
        *(b"0x1", b"nan(1)", b"Infinity", b"1e999", b"9" * 30, b"+", b"-", b"e", b"true", b"null", b"[", b"]", b"="),
    ]
)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(NOISE) + body[place + draw(st.integers(0, 3)) :]
    return body


@patient
@given(data=st.data(), table=tables(), sizes=SIZES, block=BLOCKS)
def test_damage_has_one_outcome_however_it_is_cut_and_whoever_reads(
    data: st.DataObject, table: Table, sizes: list[int], block: int
) -> None:
    body = data.draw(damaged(data.draw(encodings(table))), "body")
    expected = outcome(body, table[0], "standard", [65536], 65536)
    for engine in ENGINES:
        assert outcome(body, table[0], engine, sizes, block) == expected


SMALL = (
    b"ts,telemetry=power device=d1,telemetry=status device=d1,telemetry=alerts device=d1\r\n"
    b'1773482400,4210.5,running,[]\n\n1773482460,,"limited,\nhot","[""grid_overvoltage""]"\n1773482520,1e3,x,\n'
)
SMALL_TYPES = ["float", "string", "string_array"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("block", [16, 65536])
def test_truncation_at_every_byte_is_an_error_never_less(engine: Engine, block: int) -> None:
    for end in range(len(SMALL) + 1):
        with blocks_of(block):
            reader = TimeseriesReader(SMALL_TYPES, engine=engine)
            for _ in reader.feed(SMALL[:end]):
                pass
            with pytest.raises(TimeseriesFormatError, match="nothing proves"):
                list(reader.finish(complete=False))


@pytest.mark.parametrize("engine", ENGINES)
def test_truncation_of_the_compressed_body_at_every_byte_is_an_error(engine: Engine) -> None:
    body = gzip.compress(SMALL)

    def read(compressed: bytes) -> int:
        reader = TimeseriesReader(SMALL_TYPES, engine=engine)
        decoder = GzipDecoder(None)
        batches = [batch for piece in decoder.feed(compressed) for batch in reader.feed(piece)]
        decoder.finish()
        batches += reader.finish(complete=True)
        return sum(map(len, batches))

    assert read(body) == 3
    for end in range(len(body)):
        with pytest.raises(EnapterError):
            read(body[:end])


@patient
@given(st.binary(max_size=300), SIZES, st.sampled_from(ENGINES))
def test_garbage_gives_a_typed_error_or_nothing(body: bytes, sizes: list[int], engine: Engine) -> None:
    outcome(b"ts,telemetry=a device=b\n" + body, ["string"], engine, sizes, 65536)
    outcome(body, ["string"], engine, sizes, 65536)
