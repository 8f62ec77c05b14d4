"""The responses of the control API."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class StatusInfo:
    """The simulator as a whole.

    Attributes:
        url: Base URL of the API.
        token: Token of the API.
        mode: `any`, `cloud` or `gateway`.
        seed: Seed of the world.
        sites: Number of sites.
        devices: Number of devices.
        requests: Requests since the start.
        in_flight: Requests that are being answered.
        peak_in_flight: The most that were answered at once.
        streams: Open streams.
        faults_injected: Faults of the plan that have happened.
    """

    url: str
    token: str = attrs.field(repr=False)
    mode: str
    seed: int
    sites: int
    devices: int
    requests: int
    in_flight: int
    peak_in_flight: int
    streams: int
    faults_injected: int


@attrs.frozen(kw_only=True)
class SiteInfo:
    """A site.

    Attributes:
        id: ID.
        name: Name.
        timezone: Name of the time zone.
        devices: Number of its devices.
    """

    id: str
    name: str
    timezone: str
    devices: int


@attrs.frozen(kw_only=True)
class AlertInfo:
    """An alert that a device declares or has raised.

    Attributes:
        name: Name.
        display_name: Display name.
        severity: `info`, `warning` or `error`.
        raised: Whether the alert is active.
    """

    name: str
    display_name: str
    severity: str
    raised: bool


@attrs.frozen(kw_only=True)
class Reading:
    """The latest value of a telemetry attribute.

    Attributes:
        name: Name of the attribute.
        display_name: Display name.
        type: Data type.
        unit: Unit, or None.
        value: The value, as the API answers it.
        timestamp: Unix seconds of the value.
        overridden: Whether a value was set instead of the simulated one.
        samples: Earlier values, oldest first. Only on request, and only for numbers.
    """

    name: str
    display_name: str
    type: str
    unit: str | None
    value: Any
    timestamp: int
    overridden: bool
    samples: tuple[float, ...] | None = None


@attrs.frozen(kw_only=True)
class DeviceInfo:
    """A device.

    Attributes:
        id: ID.
        name: Name.
        slug: Slug.
        type: Device type.
        blueprint: Display name of its blueprint.
        site_id: ID of its site.
        connectivity: `ONLINE`, `OFFLINE` or `UNKNOWN`.
        alerts: The alerts that it declares, and those that are raised without a declaration.
        properties: Last reported properties.
        telemetry: Latest values: all of them for a single device, the requested ones in lists.
    """

    id: str
    name: str
    slug: str
    type: str
    blueprint: str
    site_id: str | None
    connectivity: str
    alerts: tuple[AlertInfo, ...]
    properties: dict[str, Any]
    telemetry: tuple[Reading, ...] = ()

    @property
    def raised_alerts(self) -> tuple[str, ...]:
        """Names of the alerts that are active."""
        return tuple(alert.name for alert in self.alerts if alert.raised)


@attrs.frozen(kw_only=True)
class RequestInfo:
    """A request that came in.

    Attributes:
        sequence: Number of the request, counted from 1 since the start.
        received_at: Unix seconds by the system's clock.
        method: HTTP method.
        path: Path, decoded.
        query: Every value of every query parameter.
        headers: Headers by lower-case name; the token is masked.
        user: Value of X-Enapter-Auth-User.
        body: The body as text.
        operation: Its operationId; None if no operation matched.
        status: Status of the response, or None if there is none yet or the connection was broken first.
        applied: Whether the request had its effect, even if the client did not see the response.
        fault: Name of the fault that was injected.
        streamed: Whether the response is a stream.
        duration: Seconds until the response was ready; None while it is not.
    """

    sequence: int
    received_at: float
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str] = attrs.field(repr=False)
    user: str | None
    body: str = attrs.field(repr=False)
    operation: str | None
    status: int | None
    applied: bool
    fault: str | None
    streamed: bool
    duration: float | None


@attrs.frozen(kw_only=True)
class FaultInfo:
    """A rule of the fault plan.

    Attributes:
        number: Identifies the rule.
        name: Short description of the fault.
        operation: An operationId, or None for any.
        method: An HTTP method, or None for any.
        path: A path pattern, or None for any.
        nth: Which of the matching requests, or None for every one.
        when: `before` or `after` the request has its effect.
        seen: Matching requests so far.
        remaining: Faults still to come, or None for a rule without an end.
    """

    number: int
    name: str
    operation: str | None
    method: str | None
    path: str | None
    nth: tuple[int, ...] | None
    when: Literal["before", "after"]
    seen: int
    remaining: int | None


@attrs.frozen(kw_only=True)
class SettingsInfo:
    """The settings for all requests.

    Attributes:
        rate_limit: Requests per second of one token, or None for no limit.
        burst: Number of requests that may arrive at once, or None for one second's worth.
        latency: The least and the most seconds before a response.
        fault_rate: Share of requests that fail at random, from 0 to 1.
    """

    rate_limit: float | None
    burst: float | None
    latency: tuple[float, float]
    fault_rate: float


@attrs.frozen(kw_only=True)
class ClockInfo:
    """The clock of the simulated world.

    Attributes:
        now: The time in RFC 3339.
        unix: The same in Unix seconds.
        offset: Seconds ahead of the system's clock.
        frozen: Whether the clock is stopped.
    """

    now: str
    unix: float
    offset: float
    frozen: bool


@attrs.frozen(kw_only=True)
class OperationInfo:
    """An operation of the API.

    Attributes:
        id: operationId.
        method: HTTP method.
        path: Path template.
    """

    id: str
    method: str
    path: str
