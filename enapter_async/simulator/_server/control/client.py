"""A client of the control API for synchronous code: tests, scripts, and other processes."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ..faults import Fault, require_fault
from ..shapes import as_mapping
from .models import (
    ClockInfo,
    DeviceInfo,
    FaultInfo,
    OperationInfo,
    RequestInfo,
    SettingsInfo,
    SiteInfo,
    StatusInfo,
)
from .routing import PREFIX
from .structure import structure, unstructure

T = TypeVar("T")

Connectivity = Literal["ONLINE", "OFFLINE", "UNKNOWN"]


class ControlError(Exception):
    """The control API refused a request, or could not be reached.

    Attributes:
        status: HTTP status, or None if there was no response.
        message: Human-readable reason.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.status: int | None = status
        self.message: str = message

    def __str__(self) -> str:
        return self.message if self.status is None else f"{self.message} (status {self.status})"


class SimulatorControl:
    """Watch and change a simulator that runs in another thread or process.

        control = SimulatorControl("http://127.0.0.1:8080/_simulator/#token=...")
        control.raise_alert(control.devices()[0].id, "overtemperature")

    Pass devices by ID or slug. You can use one object from several threads.

    Args:
        address: Address of the control page, as the simulator prints it.
        token: The control token, if it is not part of the address.
        timeout: Seconds to wait for a response.
        ssl_context: Verifies the certificate of a simulator that serves https.

    Raises:
        ValueError: The address or the token is missing.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(address)
        given = token or next(iter(parse_qs(parts.fragment).get("token", ())), None)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"expected the address that the simulator printed, got {parts.scheme}://{parts.netloc}")
        if not given:
            raise ValueError("the address does not contain a token: pass token=")
        self._https = parts.scheme == "https"
        self._host: str = parts.hostname
        self._port = parts.port
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._token: str = given
        self._timeout = timeout
        self._ssl_context = ssl_context
        self._status: StatusInfo | None = None

    def __repr__(self) -> str:
        return f"<SimulatorControl {self._origin}{PREFIX}/>"

    @property
    def page(self) -> str:
        """Address of the control page, with the control token."""
        return f"{self._origin}{PREFIX}/#token={quote(self._token, safe='')}"

    @property
    def url(self) -> str:
        """Base URL of the API, for the program that is tested."""
        return self._first_status().url

    @property
    def token(self) -> str:
        """Token of the API, for the program that is tested."""
        return self._first_status().token

    def status(self) -> StatusInfo:
        """Return counts, base URL and token."""
        return structure(StatusInfo, self._call("GET", "status")["status"], strict=False)

    def operations(self) -> list[OperationInfo]:
        """List the operations of the API. Requests and faults refer to their names."""
        return _all(OperationInfo, self._call("GET", "operations")["operations"])

    # The world

    def sites(self) -> list[SiteInfo]:
        """List the sites."""
        return _all(SiteInfo, self._call("GET", "sites")["sites"])

    def add_site(self, name: str, *, timezone: str = "UTC") -> SiteInfo:
        """Add a site."""
        response = self._call("POST", "sites", {"name": name, "timezone": timezone})
        return structure(SiteInfo, response["site"], strict=False)

    def remove_site(self, site_id: str) -> None:
        """Remove a site. Its devices then belong to no site."""
        self._call("DELETE", f"sites/{_segment(site_id)}")

    def devices(self, *, site_id: str | None = None, search: str | None = None) -> list[DeviceInfo]:
        """List the devices, without their values.

        Args:
            site_id: Return only devices of this site.
            search: Return only devices with this text in name, slug or ID.
        """
        found: list[DeviceInfo] = []
        while True:
            query = {"site_id": site_id, "search": search, "offset": len(found)}
            response = self._call("GET", "devices", query=query)
            page = _all(DeviceInfo, response["devices"])
            found += page
            if not page or len(found) >= response["total"]:
                return found

    def device(self, device: str) -> DeviceInfo:
        """Return a device with all its values."""
        return self._device("GET", device)

    def add_device(
        self,
        name: str = "Device",
        *,
        blueprint: str = "weather_station",
        site_id: str | None = None,
        slug: str | None = None,
        device_id: str | None = None,
    ) -> DeviceInfo:
        """Add a device.

        Args:
            name: Display name.
            blueprint: ID of a blueprint, or its name in the namespace `enapter`.
            site_id: Its site; by default the first one.
            slug: By default made from the name.
            device_id: By default a new UUID.
        """
        fields = {"name": name, "blueprint": blueprint, "site_id": site_id, "slug": slug, "id": device_id}
        return structure(DeviceInfo, self._call("POST", "devices", fields)["device"], strict=False)

    def remove_device(self, device: str) -> None:
        """Remove a device."""
        self._call("DELETE", f"devices/{_segment(device)}")

    def set_connectivity(self, device: str, connectivity: Connectivity) -> DeviceInfo:
        """Take a device offline, or back online."""
        return self._device("PATCH", device, body={"connectivity": connectivity})

    def set_properties(self, device: str, properties: Mapping[str, Any]) -> DeviceInfo:
        """Change some reported properties of a device."""
        return self._device("PATCH", device, body={"properties": dict(properties)})

    def raise_alert(self, device: str, name: str) -> DeviceInfo:
        """Raise an alert."""
        return self._device("PUT", device, f"alerts/{_segment(name)}")

    def clear_alert(self, device: str, name: str) -> DeviceInfo:
        """End an alert."""
        return self._device("DELETE", device, f"alerts/{_segment(name)}")

    def set_telemetry(self, device: str, attribute: str, value: Any) -> DeviceInfo:
        """Set the latest value of an attribute instead of the simulated one."""
        return self._device("PUT", device, f"telemetry/{_segment(attribute)}", {"value": value})

    def restore_telemetry(self, device: str, attribute: str) -> DeviceInfo:
        """Return to the simulated value of an attribute."""
        return self._device("DELETE", device, f"telemetry/{_segment(attribute)}")

    def write_log(self, device: str, message: str, severity: str = "info", *, persistent: bool = True) -> None:
        """Write a record to a device's log."""
        fields = {"message": message, "severity": severity, "persistent": persistent}
        self._call("POST", f"devices/{_segment(device)}/logs", fields)

    # Requests

    @property
    def requests(self) -> list[RequestInfo]:
        """The newest requests that came in, at most 1,000, oldest first."""
        return self.requests_of(None)

    def requests_of(self, operation: str | None, *, after: int = 0) -> list[RequestInfo]:
        """List the requests of an operation.

        Args:
            operation: An operationId, or None for any.
            after: Leave out requests up to this sequence number.
        """
        response = self._call("GET", "requests", query={"operation": operation, "after": after})
        return _all(RequestInfo, response["requests"])

    def wait_for_request(self, operation: str | None = None, *, after: int = 0, timeout: float = 5.0) -> RequestInfo:
        """Wait until a request was answered, and return the first.

        Args:
            operation: An operationId, or None for any.
            after: Leave out requests up to this sequence number.
            timeout: Seconds to wait, at most 60.

        Raises:
            TimeoutError: No matching request was answered in time.
        """
        query = {"operation": operation, "after": after, "wait": timeout}
        response = self._call("GET", "requests", query=query, timeout=timeout + self._timeout)
        for request in _all(RequestInfo, response["requests"]):
            if request.duration is not None:
                return request
        raise TimeoutError(f"no request of {operation or 'any operation'} within {timeout:g} seconds")

    def forget_requests(self) -> None:
        """Forget the requests so far."""
        self._call("DELETE", "requests")

    # Faults, limits and the clock

    def faults(self) -> list[FaultInfo]:
        """List the rules of the fault plan."""
        return _all(FaultInfo, self._call("GET", "faults")["faults"])

    def add_fault(
        self,
        operation: str | None,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | None = None,
        nth: int | Iterable[int] | None = 1,
        when: Literal["before", "after"] = "before",
    ) -> FaultInfo:
        """Add a rule to the fault plan, as `FaultPlan.on` does.

        Args:
            operation: An operationId, or None for any.
            fault: What happens.
            method: An HTTP method, or None for any.
            path: A path pattern with `*` and `?`, or None for any.
            nth: Which of the matching requests from now on, counted from 1, or None for every one.
            when: `before` the request has its effect, or `after`: the response is lost.

        Raises:
            TypeError: The fault is not a `Fault`.
        """
        require_fault(fault)
        chosen = nth if nth is None or isinstance(nth, int) else sorted(nth)
        described: dict[str, Any] = unstructure(fault)
        body = described.pop("body")
        if body is not None:
            described["body_base64"] = body
        fields = {"operation": operation, "method": method, "path": path, "nth": chosen, "when": when}
        response = self._call("POST", "faults", {**fields, "fault": described})
        return structure(FaultInfo, response["fault"], strict=False)

    def remove_fault(self, number: int) -> None:
        """Remove a rule."""
        self._call("DELETE", f"faults/{number}")

    def clear_faults(self) -> None:
        """Remove all rules."""
        self._call("DELETE", "faults")

    def settings(self) -> SettingsInfo:
        """Return rate limit, latency and fault rate."""
        return structure(SettingsInfo, self._call("GET", "settings")["settings"], strict=False)

    def set_rate_limit(self, requests_per_second: float | None, burst: float | None = None) -> SettingsInfo:
        """Set the rate limit.

        Args:
            requests_per_second: Of one token, or None for no limit.
            burst: Number of requests that may arrive at once, or None for one second's worth.
        """
        return self._change_settings({"rate_limit": requests_per_second, "burst": burst})

    def set_latency(self, least: float, most: float | None = None) -> SettingsInfo:
        """Set the delay of every response.

        Args:
            least: Seconds.
            most: Seconds, for a uniform distribution; by default always the least.
        """
        return self._change_settings({"latency": [least, least if most is None else most]})

    def set_fault_rate(self, share: float) -> SettingsInfo:
        """Let a share of requests fail at random, from 0 to 1."""
        return self._change_settings({"fault_rate": share})

    def clock(self) -> ClockInfo:
        """Return the time of the simulated world."""
        return self._clock("GET")

    def set_clock(self, now: datetime) -> ClockInfo:
        """Set the time of the simulated world.

        Raises:
            ValueError: The time has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError("the time needs a time zone, such as datetime.now(UTC)")
        return self._clock("PATCH", {"now": now.isoformat()})

    def advance_clock(self, seconds: float) -> ClockInfo:
        """Advance the clock."""
        return self._clock("PATCH", {"advance": seconds})

    def freeze_clock(self) -> ClockInfo:
        """Stop the clock."""
        return self._clock("PATCH", {"frozen": True})

    def run_clock(self) -> ClockInfo:
        """Restart the clock."""
        return self._clock("PATCH", {"frozen": False})

    def reset_clock(self) -> ClockInfo:
        """Return to the system's time."""
        return self._clock("PATCH", {"offset": 0, "frozen": False})

    # State

    def save_state(self) -> dict[str, Any]:
        """Return the whole state as JSON: world, settings, clock and faults."""
        return self._call("GET", "state")

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load a saved state. An invalid state changes nothing."""
        self._call("PUT", "state", state)

    def reset(self) -> None:
        """Restore the initial world, settings and clock, and forget requests and faults."""
        self._call("POST", "reset")

    def _first_status(self) -> StatusInfo:
        if self._status is None:
            self._status = self.status()
        return self._status

    def _device(self, method: str, device: str, rest: str = "", body: Mapping[str, Any] | None = None) -> DeviceInfo:
        path = f"devices/{_segment(device)}" + (f"/{rest}" if rest else "")
        return structure(DeviceInfo, self._call(method, path, body)["device"], strict=False)

    def _clock(self, method: str, body: Mapping[str, Any] | None = None) -> ClockInfo:
        return structure(ClockInfo, self._call(method, "clock", body)["clock"], strict=False)

    def _change_settings(self, fields: Mapping[str, Any]) -> SettingsInfo:
        return structure(SettingsInfo, self._call("PATCH", "settings", fields)["settings"], strict=False)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{PREFIX}/{path}" + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": f"Bearer {self._token}"}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        # Each call opens its own connection, so that threads share nothing.
        connection = self._connect(timeout or self._timeout)
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(f"{method} {PREFIX}/{path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return _read_response(response.status, content)

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._https:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._ssl_context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _read_response(status: int, content: bytes) -> dict[str, Any]:
    try:
        payload: Any = json.loads(content) if content else {}
    except ValueError:
        payload = None
    fields = as_mapping(payload)
    if status < 300 and fields is not None:
        return fields
    try:
        message = str(payload["errors"][0]["message"])
    except (KeyError, IndexError, TypeError):
        message = "the response does not come from a simulator"
    raise ControlError(message, status)


def _all(cls: type[T], items: Iterable[object]) -> list[T]:
    return [structure(cls, item, strict=False) for item in items]


def _segment(text: object) -> str:
    """Write one segment of a path; dots alone would be resolved on the way."""
    if not isinstance(text, str):
        raise TypeError(f"expected an ID, slug or name, such as device.id, got {text!r}")
    return quote(text, safe="").replace(".", "%2E") if text.strip(".") == "" else quote(text, safe="")
