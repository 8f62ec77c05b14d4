"""The body of a query for history."""

from __future__ import annotations

from enapter_async._protocol.values import format_duration, format_time
from enapter_async.models.common import JSON
from enapter_async.models.timeseries import Series, TimeseriesQuery


def timeseries_body(query: TimeseriesQuery) -> dict[str, JSON]:
    """Return the JSON body of `queryTimeseries` (reference.md, Telemetry; openapi.yaml, TimeseriesQuery).

    Unset fields are not sent. The attributes of one `Series` share one selector.
    """
    body: dict[str, JSON] = {
        "from": format_time(query.start, "start"),
        "to": format_time(query.end, "end"),
        "granularity": format_duration(query.granularity, "granularity"),
        "telemetry": [_selector(series) for series in query.series],
    }
    if query.aggregation is not None:
        body["aggregation"] = query.aggregation.value
    return body


def _selector(series: Series) -> JSON:
    selector: dict[str, JSON] = {"device": series.device, "attribute": list(series.attributes)}
    if series.aggregation is not None:
        selector["aggregation"] = series.aggregation.value
    if series.gap_filling is not None:
        look_around = format_duration(series.gap_filling.look_around, "look_around")
        selector["gap_filling"] = {"method": "locf", "look_around": look_around}
    return selector
