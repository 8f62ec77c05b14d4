"""Reading a time series: what the format means, and what each defect is called."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime

import pytest

from enapter_async._protocol.timeseries import reader as timeseries
from enapter_async._protocol.timeseries.reader import Engine, TimeseriesReader
from enapter_async._protocol.timeseries.table_builder import TimeseriesCollector
from enapter_async.errors import TimeseriesFormatError
from enapter_async.models.timeseries import DataType, Timeseries

DEVICE = "7b1e4c90-25d3-4f6a-8e57-1a9c3d2b4f68"
ENGINES: list[Engine] = ["standard", "arrow"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "arrow":
        pytest.importorskip("pyarrow")
    return request.param


def read(body: str | bytes, types: list[str], engine: Engine = "standard") -> Timeseries:
    reader = TimeseriesReader(types, engine=engine)
    batches = list(reader.feed(body.encode() if isinstance(body, str) else body))
    batches += reader.finish(complete=True)
    collector = TimeseriesCollector(reader.columns or ())
    for batch in batches:
        collector.add(batch)
    return collector.result()


def cells(kind: str, *texts: str, engine: Engine = "standard") -> list[object]:
    rows = "".join(f"{second},{text}\n" for second, text in enumerate(texts))
    return list(read(f"ts,telemetry=a device=d\n{rows}", [kind], engine).columns[0].values)


# What an answer looks like


def test_the_documented_example(engine: Engine) -> None:
    table = read(
        f"ts,telemetry=power device={DEVICE} aggregation=avg granularity=1m gap_filling_method=none "
        f"gap_filling_look_around=0s,telemetry=status device={DEVICE},telemetry=alerts device={DEVICE}\n"
        "1773482400,4210.5,running,[]\n"
        "1773482460,,running,\n"
        '1773482520,4198.25,"limited, hot","[""grid_overvoltage"",""fan_slow""]"\n',
        ["float", "string", "string_array"],
        engine,
    )
    assert table.timestamps == [datetime(2026, 3, 14, 10, minute, tzinfo=UTC) for minute in range(3)]
    power, status, alerts = table.columns
    assert (power.device, power.attribute, power.data_type) == (DEVICE, "power", DataType.FLOAT)
    assert power.labels["granularity"] == "1m"
    assert power.values == [4210.5, None, 4198.25]
    assert status.values == ["running", "running", "limited, hot"]
    assert alerts.values == [[], None, ["grid_overvoltage", "fan_slow"]]
    assert [row.values for row in table.rows()][1] == (None, "running", None)
    assert next(table.rows()).timestamp == table.timestamps[0]


def test_line_breaks_of_every_kind_and_blank_lines(engine: Engine) -> None:
    body = '\r\n\nts,telemetry=a device=d\r\n\r\n1,"two\r\nlines"\n\n2,"one\n"\r\n3,"a\rb"'
    assert read(body, ["string"], engine).columns[0].values == ["two\r\nlines", "one\n", "a\rb"]


@pytest.mark.parametrize(
    "lines",
    [["float", "integer"], ["float,integer"], [" FLOAT , Integer "], ["float", "integer,"], ["float,integer", ""]],
)
def test_data_types_joined_or_in_several_lines(lines: list[str]) -> None:
    table = read("ts,device=d telemetry=a,telemetry=b device=d\n1,2,3\n", lines)
    assert [column.data_type for column in table.columns] == [DataType.FLOAT, DataType.INTEGER]
    assert repr([column.values for column in table.columns]) == "[[2.0], [3]]"


def test_labels_in_any_order_new_keys_and_equals_signs_in_values() -> None:
    table = read('ts,"new=a=b  aggregation=avg device=d telemetry=a=1"\n', ["float"])
    (column,) = table.columns
    assert column.attribute == "a=1"
    assert column.labels == {"new": "a=b", "aggregation": "avg", "device": "d", "telemetry": "a=1"}


@pytest.mark.parametrize("types", [[], [""], ["float"]])
@pytest.mark.parametrize("body", ["", "\n", "\r\n\r\n"])
def test_an_empty_body_is_no_columns_and_no_rows(body: str, types: list[str], engine: Engine) -> None:
    table = read(body, types, engine)
    assert (len(table), table.columns, list(table.rows())) == (0, (), [])


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_header_alone_is_columns_without_rows(end: str, engine: Engine) -> None:
    table = read("ts,telemetry=a device=d" + end, ["float"], engine)
    assert table.timestamps == []
    assert [column.values for column in table.columns] == [[]]


def test_timestamps_alone(engine: Engine) -> None:
    table = read("ts\n1\n2\n", [], engine)
    assert list(table.unix_seconds) == [1, 2]
    assert [row.values for row in table.rows()] == [(), ()]


def test_a_byte_order_mark_is_no_part_of_the_format() -> None:
    with pytest.raises(TimeseriesFormatError, match="must begin with 'ts'"):
        read("\ufeffts\n", [])


# Values


def test_floats(engine: Engine) -> None:
    texts = ["1", "-0.5", "+2", ".5", "5.", "1e3", "1E-3", "1.5e+2", "", " 7\t", "1e999", "-1e999", "007"]
    expected = [1.0, -0.5, 2.0, 0.5, 5.0, 1000.0, 0.001, 150.0, None, 7.0, math.inf, -math.inf, 7.0]
    values = cells("float", *texts, engine=engine)
    assert values == expected
    assert all(value is None or type(value) is float for value in values)


def test_nan_and_infinity_are_floats_and_not_none(engine: Engine) -> None:
    values = cells("float", "NaN", "nan", "-NAN", "Inf", "+inf", "-Inf", "Infinity", "-infinity", engine=engine)
    assert [str(value) for value in values] == ["nan", "nan", "nan", "inf", "inf", "-inf", "inf", "-inf"]


def test_integers(engine: Engine) -> None:
    values = cells("integer", "1", "-5", "+7", "", "007", "9223372036854775807", engine=engine)
    assert values == [1, -5, 7, None, 7, 2**63 - 1]
    assert cells("integer", "9223372036854775808", "-1", engine=engine) == [2**63, -1]


def test_booleans_in_any_case(engine: Engine) -> None:
    values = cells("boolean", "true", "false", "", "1", "0", "TRUE", "False", "tRuE", engine=engine)
    assert values == [True, False, None, True, False, True, False, True]
    assert all(value is None or type(value) is bool for value in values)


def test_strings_are_kept_as_they_are(engine: Engine) -> None:
    values = cells("string", "running", '""', "", " padded ", "nan", '"say ""hi"""', "größe", "null", engine=engine)
    assert values == ["running", None, None, " padded ", "nan", 'say "hi"', "größe", "null"]


def test_arrays_and_null(engine: Engine) -> None:
    values = cells(
        "string_array", '"[""a"",""b""]"', "[]", "", "null", '"[""a"", ""b""]"', r'"[""\u00e9""]"', engine=engine
    )
    assert values == [["a", "b"], [], None, None, ["a", "b"], ["é"]]
    assert values[0] is not values[4]


def test_equal_arrays_are_not_one_list(engine: Engine) -> None:
    first, second = cells("string_array", "[]", "[]", engine=engine)
    assert first == second
    assert first is not second


def test_a_type_that_is_not_known_yet_stays_text(engine: Engine) -> None:
    assert cells("Duration", "5s", "", engine=engine) == ["5s", None]
    table = read("ts,telemetry=a device=d\n", ["Duration"])
    assert table.columns[0].data_type == "Duration"
    assert not table.columns[0].data_type.is_known


# Defects


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(
            ("float", text)
            for text in ["x", "1_000", "٣", "0x1f", "1,5".replace(",", ";"), "nan(1)", "--1", "1 2", " "]
        ),
        *(("integer", text) for text in ["1.0", "1e3", "0x1f", "1_0", "nan", "- 1", "9" * 5000]),
        *(("boolean", text) for text in ["yes", "2", " true", "t"]),
        *(("string_array", text) for text in ["a", "{}", "[1]", "[null]", '"[""a""', '"""a"""', "[" * 3000, "5"]),
        ("string_array", r'"[""\ud800""]"'),
    ],
)
def test_a_bad_cell_is_named(kind: str, text: str, engine: Engine) -> None:
    body = f"ts,telemetry=ok device=d,telemetry=a device=d\n1,1,\n\n2,2,\n3,3,{text}\n4,4,\n"
    with pytest.raises(TimeseriesFormatError, match=r"row 3, column 2: ") as caught:
        read(body, ["float", kind], engine)
    assert (caught.value.row, caught.value.column) == (3, 2)


@pytest.mark.parametrize(
    ("record", "row", "column", "message"),
    [
        ("2", 2, None, "1 cells, but 3 columns"),
        ("2,1", 2, None, "2 cells, but 3 columns"),
        ("2,1,x,", 2, None, "4 cells, but 3 columns"),
        (",1,x", 2, 0, "timestamp"),
        ("2.5,1,x", 2, 0, "timestamp"),
        ("x,1,x", 2, 0, "timestamp"),
        ("2026-03-14T10:00:00Z,1,x", 2, 0, "timestamp"),
        ("1,1,x", 2, 0, "not later than the row before"),
        ("0,1,x", 2, 0, "not later than the row before"),
        ("253402300800,1,x", 2, 0, "years 1 to 9999"),
        ('2,1,a"b', 2, 2, "middle of a cell"),
        ('2,1,a""b', 2, 2, "middle of a cell"),
        ('2,1,"a"b', 2, 2, "middle of a cell"),
        ('2,1, "a"', 2, 2, "middle of a cell"),
        ("2,1,a\rb", 2, 2, "middle of a cell"),
        ('2,1,"a', 2, 2, "a quote that is never closed"),
        ('2,"1,a', 2, 1, "a quote that is never closed"),
        ("2,1,x\n3,1", 3, None, "2 cells, but 3 columns"),
    ],
)
def test_a_malformed_record_is_named(record: str, row: int, column: int | None, message: str, engine: Engine) -> None:
    with pytest.raises(TimeseriesFormatError, match=message) as caught:
        read(f"ts,telemetry=a device=d,telemetry=b device=d\n1,1,x\n{record}", ["float", "string"], engine)
    assert (caught.value.row, caught.value.column) == (row, column)


def test_short_and_long_rows_do_not_make_up_for_each_other(engine: Engine) -> None:
    with pytest.raises(TimeseriesFormatError, match="row 1: 1 cells"):
        read("ts,telemetry=a device=d\n1\n2,2,3\n", ["float"], engine)


def test_bad_utf8_is_named(engine: Engine) -> None:
    with pytest.raises(TimeseriesFormatError, match="row 2, column 1: not a valid string"):
        read(b"ts,telemetry=a device=d\n1,x\n2,\xff\n", ["string"], engine)


@pytest.mark.parametrize(
    ("header", "types", "column", "message"),
    [
        ("time,telemetry=a device=d", ["float"], 0, "must begin with 'ts'"),
        ("<html>", [], 0, "must begin with 'ts'"),
        ("ts,telemetry=a device=d", [], None, "1 columns, but 0 data types"),
        ("ts,telemetry=a device=d", ["float,float"], None, "1 columns, but 2 data types"),
        ("ts,telemetry=a device=d", ["float,"] * 2, None, "1 columns, but 3 data types"),
        ("ts,telemetry=a device=d,telemetry=b device=d", [",float"], 1, "the data type is empty"),
        ("ts,telemetry=a", ["float"], 1, "'device' is missing"),
        ("ts,device=d telemetry=", ["float"], 1, "'telemetry' is missing"),
        ("ts,telemetry=a device=d x", ["float"], 1, "must be key=value"),
        ("ts,telemetry=a device=d =x", ["float"], 1, "must be key=value"),
        ("ts,telemetry=a device=d telemetry=b", ["float"], 1, "occurs twice"),
        ('ts,telemetry="a" device=d', ["float"], None, "the header is malformed"),
        ('ts,"telemetry=a device=d', ["float"], None, "the header is malformed"),
    ],
)
def test_a_bad_header_is_row_0(header: str, types: list[str], column: int | None, message: str) -> None:
    with pytest.raises(TimeseriesFormatError, match=message) as caught:
        read(header + "\n", types)
    assert (caught.value.row, caught.value.column) == (0, column)


# The end, and bounds


def test_a_last_record_without_line_end_counts_when_the_end_is_proven(engine: Engine) -> None:
    assert read("ts,telemetry=a device=d\n1,2\n2,3", ["float"], engine).columns[0].values == [2.0, 3.0]


@pytest.mark.parametrize("body", ["", "ts,telemetry=a device=d\n", "ts,telemetry=a device=d\n1,2\n"])
def test_an_end_without_proof_is_refused(body: str) -> None:
    reader = TimeseriesReader(["float"])
    assert list(reader.feed(body.encode())) == []
    with pytest.raises(TimeseriesFormatError, match="nothing proves that the response is complete"):
        list(reader.finish(complete=False))


def test_a_header_that_never_ends_is_an_error_not_growth() -> None:
    reader = TimeseriesReader(["float"])
    with pytest.raises(TimeseriesFormatError, match="header is longer than"):
        list(reader.feed(b"x" * 10_000_000))
    assert len(reader._buffer) < 2_000_000


@pytest.mark.parametrize(
    ("start", "message"),
    [('5,"', "row 2, column 1: a quote that is never closed"), ("5,", "row 2: a record longer than 1048576 bytes")],
)
def test_a_record_that_never_ends_is_an_error_not_growth(start: str, message: str, engine: Engine) -> None:
    reader = TimeseriesReader(["string"], engine=engine)
    assert list(reader.feed(b"ts,telemetry=a device=d\n1,x\n" + start.encode())) == []
    with pytest.raises(TimeseriesFormatError, match=message):
        list(reader.feed(b"x" * 10_000_000))
    assert len(reader._buffer) < 2_000_000
    assert reader.rows == 1


def test_a_long_cell_within_the_bound_is_read(engine: Engine) -> None:
    text = "x" * 130_000
    assert cells("string", text, f'"{text}"', engine=engine) == [text, text]


def test_a_quoted_cell_beyond_what_the_csv_module_reads_is_named() -> None:
    with pytest.raises(TimeseriesFormatError, match=r"row 2, column 1: not a valid string.*longer than 131072"):
        cells("string", "", '"' + "x" * 140_000 + '"')


def test_memory_stays_flat_however_long_the_answer(engine: Engine) -> None:
    reader = TimeseriesReader(["float"], engine=engine)
    list(reader.feed(b"ts,telemetry=a device=d\n"))
    largest = 0
    for start in range(0, 200_000, 1000):
        for _ in reader.feed(b"".join(b"%d,1.5\n" % second for second in range(start, start + 1000))):
            pass
        largest = max(largest, len(reader._buffer))
    assert reader.rows > 100_000
    assert largest < 2 * timeseries.ARROW_BLOCK


# Which reader


LONG = ["ts,telemetry=a device=d"] + [f"{second},{second}.5" for second in range(20_000)]


def test_a_long_answer_is_read_by_pyarrow_where_it_is_installed() -> None:
    pa = pytest.importorskip("pyarrow")
    table = read("\n".join(LONG), ["float"], "auto")
    assert not isinstance(table.columns[0].stored, list)
    assert isinstance(table.columns[0].stored.to_arrow(), pa.ChunkedArray)
    assert table.columns[0].values == [second + 0.5 for second in range(20_000)]
    assert table.slice(19_990, 19_992).columns[0].values == [19990.5, 19991.5]


def test_a_short_answer_is_not() -> None:
    assert isinstance(read("\n".join(LONG[:100]), ["float"], "auto").columns[0].stored, list)


def test_a_block_in_doubt_is_read_by_the_standard_reader_and_the_rest_by_pyarrow() -> None:
    pytest.importorskip("pyarrow")
    texts = [*map(str, range(60_000)), "0x1f"]  # pyarrow would read that as a number where one is due
    body = "ts,telemetry=a device=d\n" + "".join(f"{second},{text}\n" for second, text in enumerate(texts))
    reader = TimeseriesReader(["string"], engine="arrow")
    batches = list(reader.feed(body.encode()))
    batches += reader.finish(complete=True)
    assert {isinstance(batch.columns[0].stored, list) for batch in batches} == {True, False}
    assert read(body, ["string"], "arrow").columns[0].values == texts


def test_without_pyarrow_the_standard_reader_reads_long_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "enapter_async._protocol.timeseries.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = read("\n".join(LONG), ["float"], "auto")
    assert isinstance(table.columns[0].stored, list)
    assert len(table) == 20_000
