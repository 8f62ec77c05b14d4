"""Whatever text a caller passes, it arrives as that text in its place, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote

from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from enapter_async._protocol import query
from enapter_async._protocol.failure import retry_after
from enapter_async._protocol.latest_query import parts
from enapter_async._protocol.query import MAX_BYTES
from enapter_async._protocol.redact import masked
from enapter_async._protocol.request import Headers
from enapter_async._protocol.urls import relative_path, segment
from enapter_async.errors import InvalidArgumentError

ANY = st.text() | st.text(alphabet="./\\%?#&=;:@ ~2eEfF\r\n\0a")


@given(value=ANY)
@example(value="..")
@example(value="../sites")
@example(value="%2e%2e")
def test_a_segment_comes_back_as_the_one_segment_that_it_was(value: str) -> None:
    try:
        encoded = segment(value, "device_id")
    except InvalidArgumentError:
        return
    assert unquote(encoded) == value
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-%")
    url = URL(f"https://host/api/v3/devices/{encoded}/manifest", encoded=True)
    assert url.raw_parts == ("/", "api", "v3", "devices", encoded, "manifest")
    assert (url.host, url.query_string, url.fragment) == ("host", "", "")


@given(value=ANY)
def test_a_path_stays_below_the_base_url(value: str) -> None:
    try:
        path = relative_path(value)
    except InvalidArgumentError:
        return
    url = URL(f"https://host/api/{path}", encoded=True)
    assert (url.host, url.raw_query_string, url.raw_fragment) == ("host", "", "")
    assert url.raw_path == f"/api/{path}"
    assert not {".", ".."} & {unquote(part) for part in path.split("/")}
    assert path.isascii()
    assert path.isprintable()


@given(pairs=st.lists(st.tuples(st.text(min_size=1), ANY)))
def test_a_query_comes_back_as_it_was(pairs: list[tuple[str, str]]) -> None:
    try:
        for pair in pairs:
            for text in pair:
                query.encodable(text, "query")
    except InvalidArgumentError:
        return
    encoded = query.encode(pairs)
    assert parse_qsl(encoded, keep_blank_values=True) == pairs
    assert encoded.isascii()
    assert not set(encoded) & set(" #?\r\n")


NAMES = st.text(alphabet="abcdefghijé/[]=& ", min_size=1, max_size=40).filter(str.strip)


@given(attributes=st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=60), max_size=30))
def test_latest_asks_for_everything_in_queries_that_fit(attributes: dict[str, list[str]]) -> None:
    asked: dict[str, list[str]] = {}
    for encoded in parts(attributes, "5m"):
        assert len(encoded) <= MAX_BYTES
        pairs = parse_qsl(encoded)
        assert pairs.pop() == ("relevance_interval", "5m")
        for key, names in pairs:
            asked.setdefault(key.removeprefix("devices[").removesuffix("]"), []).extend(names.split(","))
    assert asked == attributes


@given(count=st.integers(1, 3000), length=st.integers(1, 200))
def test_latest_splits_no_more_than_it_must(count: int, length: int) -> None:
    attributes = {"device": [f"{number:0{length}}" for number in range(count)]}
    queries = parts(attributes, None)
    total = sum(map(len, queries))
    assert len(queries) <= total // (MAX_BYTES - 250) + 1


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def asked(value: str, date: str | None = None) -> float | None:
    lines = [(b"Retry-After", value.encode("utf-8", "surrogatepass"))]
    return retry_after(Headers((*lines, *([(b"Date", date.encode())] if date else []))), NOW)


@given(value=st.text() | st.from_regex(r"\A[-+]?[0-9.eE]{0,20}\Z") | st.floats().map(repr) | st.integers().map(str))
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    seconds = asked(value)
    assert seconds is None or 0 <= seconds < 1e16


@given(seconds=st.integers(0, 10**9))
def test_seconds_come_back(seconds: int) -> None:
    assert asked(str(seconds)) == seconds


@given(wait=st.integers(0, 10**6), offset=OFFSETS, skew=st.integers(-(10**8), 10**8))
def test_dates_come_back_whatever_the_clock(wait: int, offset: timezone, skew: int) -> None:
    server_now = NOW + timedelta(seconds=skew)
    until = (server_now + timedelta(seconds=wait)).astimezone(offset)
    assert asked(format_datetime(until), format_datetime(server_now)) == wait


@given(secret=st.text(min_size=4, max_size=30), before=st.text(), after=st.text())
def test_no_text_holds_a_masked_secret(secret: str, before: str, after: str) -> None:
    shown = masked(f"{before}{secret}{after}", secret)
    assert secret not in shown or secret in "***" * 3
