"""Where a handshake that carries a token may be redirected to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._protocol.redirect import same_host_target

HTTP = "http://gw.local/api/v3/devices/d/logs?severity=info"
HTTPS = "https://gw.local/api/v3/devices/d/logs"


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        (HTTP, "https://gw.local/api/v3/x?a=1", "https://gw.local/api/v3/x?a=1"),
        (HTTP, "wss://gw.local/api/v3/x", "https://gw.local/api/v3/x"),
        (HTTP, "https://gw.local:8443/x", "https://gw.local:8443/x"),
        (HTTP, "https://GW.LOCAL/x", "https://GW.LOCAL/x"),
        (HTTP, "http://gw.local:80/x", "http://gw.local:80/x"),
        (HTTP, "/v3/x#part", "http://gw.local/v3/x"),
        (HTTP, "ws://gw.local/x", "http://gw.local/x"),
        (HTTPS, "https://gw.local:443/x", "https://gw.local:443/x"),
        (HTTPS, " //gw.local/x ", "https://gw.local/x"),
    ],
)
def test_the_same_host_is_followed(url: str, location: str, target: str) -> None:
    assert same_host_target(url, location) == target


@pytest.mark.parametrize(
    ("url", "location"),
    [
        (HTTP, "http://other.local/x"),
        (HTTP, "https://gw.local.evil.example/x"),
        (HTTP, "https://gw.local@evil.example/x"),
        (HTTP, "https://user:secret@gw.local/x"),
        (HTTP, "//evil.example/x"),
        (HTTP, "http://gw.local:81/x"),
        (HTTP, "ftp://gw.local/x"),
        (HTTP, "javascript:alert(1)"),
        (HTTP, "https://gw.local:port/x"),
        (HTTP, "https://[gw.local/x"),
        (HTTPS, "http://gw.local/x"),
        (HTTPS, "ws://gw.local/x"),
        (HTTPS, "https://gw.local:8443/x"),
        ("http://127.0.0.1:80/x", "http://localhost:80/x"),
    ],
)
def test_everything_else_is_not(url: str, location: str) -> None:
    assert same_host_target(url, location) is None


@given(st.text())
def test_no_location_leads_to_another_host(location: str) -> None:
    target = same_host_target(HTTPS, location)
    assert target is None or target.split("?")[0].split("#")[0].lower().startswith("https://gw.local")
