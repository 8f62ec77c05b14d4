"""Line protocol against a real InfluxDB: what was written is what a query gives back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from enapter_async.rows import LINE_PROTOCOL, Row
from tests.cli.commands import run
from tests.rows.influx_server import InfluxServer, find_influxd, running_influx

pytestmark = pytest.mark.skipif(find_influxd() is None, reason="InfluxDB is not installed (Debian's influxdb)")

NOON = 1_772_000_000_000_000
databases = itertools.count()

odd = st.sampled_from(list(" ,=\\\"'\n\r\t#/{}äß\u2028"))
characters = st.characters(exclude_categories=["Cs"]) | odd
names = st.text(characters, min_size=1, max_size=12)
values = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: (value, None)) | st.text(
    characters, max_size=30
).map(lambda text: (None, text))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with running_influx(tmp_path_factory.mktemp("influx")) as running:
        yield running


def as_tag(name: str | None) -> str:
    """What a tag can hold, as the documentation says."""
    written = (name or "").replace("\n", "\\n").replace("\r", "\\r")
    return written[:-1] + "/" if written.endswith("\\") else written


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(names, names, values, st.none() | names), min_size=1, max_size=8))
@example([("a\\,b", "c\\ d", (1.5, None), "e\\=f"), ("g\\", "h\\\\", (None, '"\\'), "\\")])
@example([("#d", "'", (-0.0, None), '"'), ("d", "5e-324", (5e-324, None), None), ("d", "x", (1.7e308, None), None)])
def test_a_query_gives_back_what_was_written(
    server: InfluxServer, series: list[tuple[str, str, tuple[float | None, str | None], str | None]]
) -> None:
    rows: list[Row] = [
        (device, attribute, NOON + number, value, text, unit)
        for number, (device, attribute, (value, text), unit) in enumerate(series)
    ]
    database = f"d{next(databases)}"
    server.query(f"CREATE DATABASE {database}")
    server.write(database, LINE_PROTOCOL.encode(rows))
    found = [
        tuple(row.get(name) for name in ("device_id", "attribute", "time", "value", "text", "unit"))
        for row in server.query("SELECT * FROM telemetry", database)
    ]
    server.query(f"DROP DATABASE {database}")
    # A whole number has no point in the server's JSON.
    assert [(*row[:3], None if row[3] is None else float(row[3]), row[4], row[5] or "") for row in found] == [
        (as_tag(device), as_tag(attribute), time * 1000, value, text, as_tag(unit))
        for device, attribute, time, value, text, unit in rows
    ]


def test_what_the_command_writes_is_taken_in(server: InfluxServer) -> None:
    ended = run("collect", "--simulate", "4", "--for", "2s", "--attributes", "all", "--to", "-", "--format", "influx")
    assert ended.code == 0, ended.stderr
    server.query("CREATE DATABASE plant")
    server.write("plant", ended.stdout.encode())
    assert len(server.query("SELECT * FROM telemetry", "plant")) == len(ended.stdout.splitlines()) > 0
    kinds = {row["fieldKey"]: row["fieldType"] for row in server.query("SHOW FIELD KEYS", "plant")}
    assert kinds == {"value": "float", "text": "string"}
