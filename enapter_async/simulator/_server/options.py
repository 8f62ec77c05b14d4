"""How a simulated server behaves."""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

import attrs

from .operations import Mode


class BehaviourOptions(TypedDict, total=False):
    """The fields of `Behaviour` but its mode, as keyword arguments."""

    clamp_limit: bool
    no_content: bool
    created: bool
    upload_answer: Literal["wrapped", "flat", "blueprint_id"]
    joined_data_types: bool
    empty_timeseries: Literal["header", "empty"]
    max_points: int
    max_devices: int | None
    command_seconds: float
    legacy_rule_engine: bool
    rule_engine_online: bool
    flat_frames: bool
    stream_interval: float
    ping_interval: float
    log_interval: float
    store_and_forward: bool
    allow_http: bool
    dropouts: bool


def _is_mode(behaviour: object, attribute: object, value: Mode) -> None:
    if value not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {value!r}")


@attrs.frozen(kw_only=True)
class Behaviour:
    """The choices that the API leaves open, and those that make testing easier.

    Attributes:
        mode: `any` serves everything; `cloud` and `gateway` only what that kind of server has.
        clamp_limit: Lower a `limit` above 50 to 50 instead of refusing it.
        no_content: Answer deletions with 204 instead of 200 and `{}`.
        created: Answer creations with 201 instead of 200.
        upload_answer: Form of the upload response: `wrapped`, `flat` or `blueprint_id`.
        joined_data_types: Send the data types of a time series as one comma list instead of a line per column.
        empty_timeseries: Form of a time series without rows: the `header` line only, or an `empty` body.
        max_points: Most points of one series. More are refused with 422.
        max_devices: Most devices of one time series query, or None for no limit.
        command_seconds: How long a command takes, below two seconds.
        legacy_rule_engine: No pages, no `total_count`, unknown query parameters refused.
        rule_engine_online: Whether the Gateway that runs the rules can be reached from the Cloud.
        flat_frames: Send log frames of WebSockets in the older flat form.
        stream_interval: Seconds between two telemetry frames of a device.
        ping_interval: Seconds between two pings on a WebSocket.
        log_interval: Seconds between two spontaneous log records of a device.
        store_and_forward: Devices keep what they measure while they are offline, and history has it once they are
            back; otherwise it is lost.
        allow_http: Serve plain http in the modes `cloud` and `gateway` to clients, too, that do not send
            `X-Enapter-Allow-HTTP`, instead of redirecting them to https.
        dropouts: Devices and attributes fall silent for some minutes now and then. Until they are back, the latest
            value is the one before, and history has a gap. The history before the start always has such gaps.
    """

    mode: Mode = attrs.field(default="any", validator=_is_mode)
    clamp_limit: bool = False
    no_content: bool = False
    created: bool = False
    upload_answer: Literal["wrapped", "flat", "blueprint_id"] = "wrapped"
    joined_data_types: bool = False
    empty_timeseries: Literal["header", "empty"] = "header"
    max_points: int = 10_000_000
    max_devices: int | None = None
    command_seconds: float = attrs.field(default=0.5, validator=[attrs.validators.ge(0), attrs.validators.lt(2)])
    legacy_rule_engine: bool = False
    rule_engine_online: bool = True
    flat_frames: bool = False
    stream_interval: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    ping_interval: float = attrs.field(default=15.0, validator=attrs.validators.gt(0))
    log_interval: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    store_and_forward: bool = False
    allow_http: bool = False
    dropouts: bool = False
