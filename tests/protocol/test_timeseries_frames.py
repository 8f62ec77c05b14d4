"""Time series in pyarrow, pandas and polars: types, nulls and names are those of the answer."""

from __future__ import annotations

import builtins
import math
import pickle
import sys
from datetime import UTC, datetime

import pytest

from enapter_async._protocol.timeseries.reader import Engine, TimeseriesReader
from enapter_async.errors import EnapterError, InvalidArgumentError, MissingExtraError
from enapter_async.models.timeseries import Column, DataType, Timeseries, TimeseriesBatch

MOMENTS = [datetime(2026, 3, 14, 10, minute, tzinfo=UTC) for minute in range(3)]
BODY = (
    b"ts,telemetry=power device=d1,telemetry=count device=d1,telemetry=ok device=d1,"
    b"telemetry=power device=d2,telemetry=alerts device=d2\n"
    b'1773482400,NaN,9007199254740993,true,running,[]\n1773482460,,,,,\n1773482520,1.5,-1,false,"a,b","[""x"",""y""]"\n'
)
TYPES = ["float", "integer", "boolean", "string", "string_array"]
NAMES = ["d1.power", "d1.count", "d1.ok", "d2.power", "d2.alerts"]


@pytest.fixture(params=["standard", "arrow"])
def table(request: pytest.FixtureRequest) -> TimeseriesBatch:
    engine: Engine = request.param
    if engine == "arrow":
        pytest.importorskip("pyarrow")
    reader = TimeseriesReader(TYPES, engine=engine)
    assert list(reader.feed(BODY)) == []
    (batch,) = reader.finish(complete=True)
    return batch


def named(*labels: dict[str, str]) -> list[str]:
    columns = tuple(Column("d", "a", DataType.FLOAT, labels=given) for given in labels)
    return Timeseries([], columns).column_names


def test_names_stay_unique_across_devices_and_aggregations(table: TimeseriesBatch) -> None:
    assert table.column_names == NAMES
    assert named({"aggregation": "avg"}) == ["d.a"]
    assert named({"aggregation": "avg"}, {"aggregation": "max"}) == ["d.a avg", "d.a max"]
    assert named({}, {}, {}) == ["d.a", "d.a #2", "d.a #3"]
    same = {"aggregation": "avg"}
    assert named(same, same, {"aggregation": "max"}) == ["d.a avg", "d.a avg #2", "d.a max"]


def test_arrow(table: TimeseriesBatch) -> None:
    pa = pytest.importorskip("pyarrow")
    arrow = table.to_arrow()
    assert arrow.schema == pa.schema(
        [
            ("timestamp", pa.timestamp("s", "UTC")),
            ("d1.power", pa.float64()),
            ("d1.count", pa.int64()),
            ("d1.ok", pa.bool_()),
            ("d2.power", pa.string()),
            ("d2.alerts", pa.list_(pa.string())),
        ]
    )
    assert arrow["timestamp"].to_pylist() == MOMENTS
    first, *others = arrow["d1.power"].to_pylist()
    assert math.isnan(first)
    assert others == [None, 1.5]
    assert arrow["d1.count"].to_pylist() == [2**53 + 1, None, -1]
    assert arrow["d1.ok"].to_pylist() == [True, None, False]
    assert arrow["d2.power"].to_pylist() == ["running", None, "a,b"]
    assert arrow["d2.alerts"].to_pylist() == [[], None, ["x", "y"]]


def test_pandas(table: TimeseriesBatch) -> None:
    pd = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert frame.index.name == "timestamp"
    assert str(frame.index.tz) == "UTC"
    assert list(frame.index.to_pydatetime()) == MOMENTS
    assert list(map(str, frame.dtypes)) == ["float64", "Int64", "boolean", "string", "object"]
    assert list(frame.columns) == NAMES
    assert frame["d1.power"].isna().tolist() == [True, True, False]
    assert frame["d1.count"].tolist() == [2**53 + 1, pd.NA, -1]
    assert frame["d1.ok"].tolist() == [True, pd.NA, False]
    assert frame["d2.power"].tolist() == ["running", pd.NA, "a,b"]
    assert frame["d2.alerts"].tolist() == [[], None, ["x", "y"]]


def test_polars(table: TimeseriesBatch) -> None:
    pl = pytest.importorskip("polars")
    frame = table.to_polars()
    assert frame.schema == {
        "timestamp": pl.Datetime("us", "UTC"),
        "d1.power": pl.Float64,
        "d1.count": pl.Int64,
        "d1.ok": pl.Boolean,
        "d2.power": pl.String,
        "d2.alerts": pl.List(pl.String),
    }
    assert frame["timestamp"].to_list() == MOMENTS
    assert frame["d1.power"].is_nan().to_list() == [True, None, False]
    assert frame["d1.count"].to_list() == [2**53 + 1, None, -1]
    assert frame["d1.ok"].to_list() == [True, None, False]
    assert frame["d2.power"].to_list() == ["running", None, "a,b"]
    assert frame["d2.alerts"].to_list() == [[], None, ["x", "y"]]


CONVERSIONS = [("pyarrow", "to_arrow", "arrow"), ("pandas", "to_pandas", "pandas"), ("polars", "to_polars", "polars")]


@pytest.mark.parametrize(("module", "method", "extra"), CONVERSIONS)
def test_without_rows_and_without_columns(module: str, method: str, extra: str) -> None:
    pytest.importorskip(module)
    empty = getattr(Timeseries([], (Column("d", "a", DataType.STRING_ARRAY),)), method)()
    assert len(empty) == 0
    assert "d.a" in (empty.column_names if module == "pyarrow" else empty.columns)
    assert len(getattr(Timeseries([], ()), method)()) == 0


@pytest.mark.parametrize(("module", "method", "extra"), CONVERSIONS)
def test_a_missing_library_is_named_with_its_extra(
    module: str, method: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed.*enapter-async\[{extra}\]") as caught:
        getattr(Timeseries([], ()), method)()
    assert caught.value.extra == extra
    assert isinstance(caught.value, ImportError)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), EnapterError)


@pytest.mark.parametrize(("module", "method", "extra"), CONVERSIONS)
def test_a_value_that_does_not_fit_is_named(module: str, method: str, extra: str) -> None:
    pytest.importorskip(module)
    big = Timeseries([1], (Column("d", "a", DataType.INTEGER, stored=[2**70]),))
    with pytest.raises(InvalidArgumentError, match=r"d\.a: a value does not fit type integer"):
        getattr(big, method)()


def test_values_do_not_need_a_library(table: TimeseriesBatch) -> None:
    part = table.slice(1, 3)
    assert part.timestamps == MOMENTS[1:]
    assert [column.values for column in part.columns] == [
        [None, 1.5],
        [None, -1],
        [None, False],
        [None, "a,b"],
        [None, ["x", "y"]],
    ]
    assert all(type(value).__module__ == builtins.__name__ for column in part.columns for value in column.values)
    assert len(part.columns[0]) == 2
    assert table.slice(2, 1).timestamps == []


def test_batches_can_be_pickled(table: TimeseriesBatch) -> None:
    again = pickle.loads(pickle.dumps(table))
    assert again.timestamps == table.timestamps
    assert repr([column.values for column in again.columns]) == repr([column.values for column in table.columns])
