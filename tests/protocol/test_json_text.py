"""Both ways of reading JSON give what `json.loads` gives, also for what only one of them would take."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async._protocol.decoding import json_text
from enapter_async._protocol.decoding.json_text import standard_loads

pytest.importorskip("orjson")

ODD = [
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775809",
    b'{"n": 123456789012345678901234567890}',
    b"0.12345678901234567890123",
    b"NaN",
    b"[Infinity, -Infinity]",
    b"1e999",
    b"1.7976931348623159e308",
    b"-0",
    b"-0.0",
    b"1E5",
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    b'{"a": 1, "a": 2}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe1\x00",
    b'"\xff"',
    b"[1,]",
    b"",
    b"  ",
    b"{",
    b'"\x01"',
    b"[" * 5000 + b"]" * 5000,
    b"1 2",
    b"'a'",
    b"nul",
    b'{"a": 1}',
    b'{"a": 1} \r\n\t',
    b'{"a": 1}\xc2\xa0',
    b'{"a": 1} {"b": 2}',
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": 1',
    b"{\0",
    '{"a": 1}'.encode("utf-16"),
    '{"a": 1}'.encode("utf-16-le"),
    '{"a": 1}'.encode("utf-16-be"),
    '{"a": 1}'.encode("utf-32-le"),
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
]


def outcome(loads: object, body: bytes) -> object:
    try:
        value = loads(body)  # type: ignore[operator]
    except (ValueError, RecursionError) as error:
        return type(error), str(error)
    return (float, "nan") if isinstance(value, float) and math.isnan(value) else (type(value), value)


@pytest.mark.parametrize("loads", [json_text.fast_loads, standard_loads])
@pytest.mark.parametrize("body", ODD)
def test_odd_input_gives_the_same_value_or_the_same_error(body: bytes, loads: object) -> None:
    assert outcome(loads, body) == outcome(json.loads, body)


@pytest.mark.parametrize("digits", [18, 19, 20, 40])
@pytest.mark.parametrize("before", range(7))
def test_a_long_integer_is_found_wherever_it_begins(before: int, digits: int) -> None:
    body = b'{"' + b"a" * before + b'": ' + b"9" * digits + b"}"
    assert outcome(json_text.fast_loads, body) == outcome(json.loads, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values, st.booleans())
def test_any_value_comes_back_the_same(value: object, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert outcome(json_text.fast_loads, body) == outcome(standard_loads, body) == outcome(json.loads, body)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda body: b"{" + body))
def test_any_bytes_have_the_same_outcome(body: bytes) -> None:
    assert outcome(json_text.fast_loads, body) == outcome(standard_loads, body) == outcome(json.loads, body)
