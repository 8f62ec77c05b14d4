"""Path segments stay one segment; paths of unknown endpoints stay below the base URL."""

from __future__ import annotations

import pytest

from enapter_async._protocol.urls import relative_path, segment
from enapter_async.errors import InvalidArgumentError

SEGMENTS = [
    ("a8b1c2d3-0000-4000-8000-00000000abcd", "a8b1c2d3-0000-4000-8000-00000000abcd"),
    ("my_device~1.0", "my_device~1.0"),
    ("...", "..."),
    (".hidden", ".hidden"),
    ("../sites", "..%2Fsites"),
    ("a/b", "a%2Fb"),
    ("a\\b", "a%5Cb"),
    ("a?b=c", "a%3Fb%3Dc"),
    ("a#b", "a%23b"),
    ("a%2Fb", "a%252Fb"),
    ("%2e%2e", "%252e%252e"),
    ("a b", "a%20b"),
    ("a:b@c;d&e+f", "a%3Ab%40c%3Bd%26e%2Bf"),
    ("Насос", "%D0%9D%D0%B0%D1%81%D0%BE%D1%81"),
    ("\N{ELECTRIC PLUG}", "%F0%9F%94%8C"),
]


@pytest.mark.parametrize(("value", "encoded"), SEGMENTS)
def test_a_segment_is_encoded_byte_by_byte(value: str, encoded: str) -> None:
    assert segment(value, "device_id") == encoded


@pytest.mark.parametrize(
    "value", ["", " ", "\t", ".", "..", "a\nb", "a\r\nb", "a\0", "\x7f", "a\x85b", "\ud800", None, 5, b"a", ["a"]]
)
def test_what_cannot_be_a_segment_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^device_id: ") as caught:
        segment(value, "device_id")
    assert caught.value.argument == "device_id"
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("v3/devices", "v3/devices"),
        ("/v3/devices", "v3/devices"),
        ("v3/devices/a%2Fb", "v3/devices/a%2Fb"),
        ("v3/things/Насос", "v3/things/%D0%9D%D0%B0%D1%81%D0%BE%D1%81"),
        ("v3/a:b@c;d", "v3/a:b@c;d"),
        ("v3/[x]", "v3/%5Bx%5D"),
    ],
)
def test_a_path_below_the_base_url(value: str, path: str) -> None:
    assert relative_path(value) == path


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "//",
        None,
        5,
        "//evil.example.net/v3",
        "https://evil.example.net/v3",
        "v3/../admin",
        "v3/%2e%2e/admin",
        "v3/.%2E/admin",
        "./v3",
        "v3/..",
        "v3\\..\\admin",
        "v3/devices?limit=1",
        "v3/devices#top",
        "v3/a b",
        "v3/a\r\nX-Header: 1",
        "v3/\ud800",
    ],
)
def test_what_cannot_be_a_path_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^path: "):
        relative_path(value)
