"""Strategies: JSON with nodes replaced, bytes damaged, headers of all kinds."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

HUGE = "x" * 200_000


def deep(levels: int) -> Any:
    """Return nested lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


SURPRISES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**64),
    10**18,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "null",
    "ONLINE",
    "SUCCESS",
    "0",
    "1e400",
    "9999-12-31T23:59:59.999999999Z",
    "0000-00-00T00:00:00Z",
    "2026-02-30T00:00:00+99:99",
    "1710000000",
    "-1h",
    "9" * 5000,
    "\u0000",
    "\ud800",
    "🔋" * 50,
    "../..",
    HUGE,
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"id": None},
    {"id": "x"},
    deep(200),
]
SURPRISE = st.sampled_from(SURPRISES).map(copy.deepcopy) | st.text(max_size=8) | st.integers() | st.floats()
"""What nobody expects in a node."""


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every node is."""
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:5]):
            found += paths(inner, (*at, index))
    return found


def _changed(draw: st.DrawFn, value: Any) -> Any:
    path = draw(st.sampled_from(paths(value)))
    if not path:
        return draw(SURPRISE)
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "wrap", "double"]))
    if what == "remove":
        del parent[path[-1]]
    elif what == "add" and isinstance(parent, dict):
        parent[draw(st.text(max_size=5))] = draw(SURPRISE)
    elif what == "wrap":
        parent[path[-1]] = [parent[path[-1]]]
    elif what == "double" and isinstance(parent, list):
        parent *= 2
    else:
        parent[path[-1]] = draw(SURPRISE)
    return value


@st.composite
def mutated_json(draw: st.DrawFn, original: Any) -> bytes:
    """Return a JSON text with up to four nodes changed, now and then damaged as text."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(0, 4))):
        value = _changed(draw, value)
    body = _serialised(value).encode()
    return draw(damaged(body)) if draw(st.integers(0, 7)) == 0 else body


def _serialised(value: Any) -> str:
    # Integers of more digits than Python prints are written by hand.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
        return "9" * 5000
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_serialised(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_serialised, value)) + "]"
    return json.dumps(value)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Return bytes that are cut, changed or interspersed in a few places."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        length = draw(st.integers(0, 4))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        what = draw(st.integers(0, 3))
        if what == 0:
            body = body[:place]
        elif what == 1:
            body = body[:place] + piece + body[place:]
        elif what == 2:
            body = body[:place] + piece + body[place + length :]
        else:
            body += piece * (draw(st.integers(1, 50)) if len(piece) < 10_000 else 1)
    return body


PIECES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b'"',
    b'""',
    b"\\",
    b"\\u",
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"[" * 2000,
    b"{",
    b"}",
    b"NaN",
    b"-",
    b"1e999",
    b"9" * 5000,
    b"null",
    b"x" * 2_000_000,
]

HEADER_TEXT = st.sampled_from(
    [
        "",
        "0",
        "1",
        "1.5",
        "-1",
        "nan",
        "inf",
        "1e9",
        "9" * 400,
        "soon",
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "Fri, 99 Foo",
        "Mon, 01 Jan 0000 00:00:00 GMT",
        "Mon, 01 Jan 9999 99:99:99 +9999",
        "gzip",
        "application/json; charset=\x01",
    ]
) | st.text(max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Date", "Content-Type", "Location", "Content-Encoding", "X-Total-Count"])
    | st.text("abcXYZ-", min_size=1, max_size=6),
    HEADER_TEXT,
    max_size=4,
)
