"""Rows of telemetry, and their formats: CSV, JSON lines, Parquet and InfluxDB line protocol.

Each row holds one value. `enapter_async.collector` and `enapter_async.exporter` write the same rows, so you can read
their files together. A row is a tuple with the fields `COLUMNS`. Parquet needs the extra `arrow`, and is in
`enapter_async.rows.parquet`.
"""

from enapter_async.rows.batches import make_batch_rows
from enapter_async.rows.line_protocol import LINE_PROTOCOL
from enapter_async.rows.lines import CSV, JSON_LINES, LineFormat, ReadableLineFormat
from enapter_async.rows.row import COLUMNS, Row, format_time, make_row, parse_time, split_value, to_microseconds

__all__ = [
    "COLUMNS",
    "CSV",
    "JSON_LINES",
    "LINE_PROTOCOL",
    "LineFormat",
    "ReadableLineFormat",
    "Row",
    "format_time",
    "make_batch_rows",
    "make_row",
    "parse_time",
    "split_value",
    "to_microseconds",
]
