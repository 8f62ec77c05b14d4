"""What went wrong, and whether to send again: tables of a pure function."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime

import attrs
import pytest

from enapter_async import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    RetryPolicy,
    Safety,
    SchemaError,
    TokenProviderError,
)
from enapter_async._protocol.failure import Decision, api_error, decide, may_pass, retry_after
from enapter_async._protocol.redact import masked, masked_json
from enapter_async._protocol.request import Answer, Headers
from enapter_async.errors import Outcome, ServerError
from enapter_async.models.common import JSON
from tests.secrecy import TOKEN

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def headers(**lines: str) -> Headers:
    return Headers(tuple((name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()))


# -- Retry-After ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("5", 5),
        (" 5 ", 5),
        ("+5", 5),
        ("0.25", 0.25),
        ("5.", 5),
        ("86400", 86400),
        ("Sat, 14 Mar 2026 12:01:00 GMT", 60),
        ("Sat, 14 Mar 2026 11:00:00 GMT", 0),
        ("Sat, 14 Mar 2026 13:01:00 +0100", 60),
    ],
)
def test_what_the_server_asks_for(value: str, seconds: float) -> None:
    assert retry_after(headers(Retry_After=value), NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "-0",
        "nan",
        "inf",
        "-inf",
        "1e3",
        "0x10",
        "five",
        "5 seconds",
        "5,6",
        "1" * 400,
        "Sat, 99 Mar 2026",
        "Sat, 14 Mar 99999 12:00:00 GMT",
        "�",
        "12:00",
        "2026-03-14T12:00:00Z",
        "٥٠",  # digits, but not of HTTP
        "５０",
        "1٥",
        "Sat, ١٤ Mar ٢٠٢٦ 12:00:00 GMT",
    ],
)
def test_what_makes_no_sense_is_ignored(value: str) -> None:
    assert retry_after(headers(Retry_After=value), NOW) is None
    assert retry_after(headers(), NOW) is None


def test_a_date_is_counted_from_the_servers_own_clock() -> None:
    wrong_clock = headers(Retry_After="Sat, 14 Mar 2020 12:01:00 GMT", Date="Sat, 14 Mar 2020 12:00:30 GMT")
    assert retry_after(wrong_clock, NOW) == 30
    nonsense = headers(Retry_After="Sat, 14 Mar 2026 12:01:00 GMT", Date="yesterday")
    assert retry_after(nonsense, NOW) == 60


# -- the decision --------------------------------------------------------------------------------------------


class Middle(random.Random):
    """Chance that always chooses the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


POLICY = RetryPolicy(max_attempts=4, initial_delay=1, max_delay=10, max_retry_after=60)


@attrs.frozen(kw_only=True)
class Case:
    error: RequestError
    safety: Safety = Safety.READ
    policy: RetryPolicy = POLICY
    counted: int = 1
    rejected: int = 0
    remaining: float = 100
    paced: bool = False

    def decided(self) -> Decision:
        options = {name: getattr(self, name) for name in ("counted", "rejected", "remaining", "paced")}
        return decide(self.error, self.safety, self.policy, random=Middle(), **options)


def failure(outcome: Outcome, asked: float | None = None) -> RequestError:
    if outcome == "not_sent":
        return ConnectError("refused")
    if outcome == "rejected":
        return RateLimitedError("busy", status=429, retry_after=asked)
    if outcome == "final":
        return APIError("no", status=418)
    return (
        ConnectionLostError("gone", phase="wait") if asked is None else ServerError("no", status=503, retry_after=asked)
    )


REPEATED = {
    ("not_sent", Safety.READ), ("not_sent", Safety.CONVERGE), ("not_sent", Safety.UNSAFE),
    ("rejected", Safety.READ), ("rejected", Safety.CONVERGE), ("rejected", Safety.UNSAFE),
    ("unknown", Safety.READ),
}  # fmt: skip
OUTCOMES: tuple[Outcome, ...] = ("not_sent", "rejected", "unknown", "final")


@pytest.mark.parametrize("opted_in", [False, True])
@pytest.mark.parametrize(("outcome", "safety"), list(itertools.product(OUTCOMES, Safety)))
def test_the_table_of_retry_safety(outcome: Outcome, safety: Safety, opted_in: bool) -> None:
    policy = attrs.evolve(POLICY, resend_converging=opted_in)
    decision = Case(error=failure(outcome), safety=safety, policy=policy, rejected=outcome == "rejected").decided()
    opted = opted_in and (outcome, safety) == ("unknown", Safety.CONVERGE)
    assert (decision.delay is not None) == ((outcome, safety) in REPEATED or opted)


@pytest.mark.parametrize("outcome", ["not_sent", "unknown"])
def test_attempts_end_and_each_costs(outcome: Outcome) -> None:
    assert Case(error=failure(outcome), counted=3).decided().spends
    assert Case(error=failure(outcome), counted=4).decided().delay is None


def test_a_429_costs_nothing_and_never_ends_by_count() -> None:
    decision = Case(error=failure("rejected"), counted=0, rejected=1000).decided()
    assert decision.delay is not None
    assert not decision.spends


def test_a_policy_without_retries_covers_429_too() -> None:
    for outcome in OUTCOMES:
        assert Case(error=failure(outcome), policy=RetryPolicy.none()).decided().delay is None


@pytest.mark.parametrize(("counted", "delay"), [(1, 0.5), (2, 1), (3, 2)])
def test_delays_double_under_full_jitter(counted: int, delay: float) -> None:
    assert Case(error=failure("unknown"), counted=counted).decided().delay == delay


def test_delays_have_a_ceiling_and_cannot_overflow() -> None:
    endless = attrs.evolve(POLICY, max_attempts=10**9)
    for counted in (10, 100, 10**6):
        assert Case(error=failure("unknown"), policy=endless, counted=counted).decided().delay == 5


@pytest.mark.parametrize("outcome", ["not_sent", "unknown", "rejected"])
def test_no_delay_passes_the_deadline(outcome: Outcome) -> None:
    for remaining in (0.5, 0.1, 0, -1):
        assert Case(error=failure(outcome), rejected=1, remaining=remaining).decided().delay is None


@pytest.mark.parametrize(
    ("asked", "delay"), [(None, 0.5), (0, 0.5), (0.5, 0.525), (2, 2.1), (60, 63), (60.5, None), (1e300, None)]
)
def test_without_a_pace_a_429_waits_as_long_as_asked(asked: float | None, delay: float | None) -> None:
    decided = Case(error=failure("rejected", asked), rejected=1).decided().delay
    assert decided == (delay if delay is None else pytest.approx(delay))


@pytest.mark.parametrize("asked", [None, 0, 2, 60])
def test_with_a_pace_the_wait_is_the_limiters(asked: float | None) -> None:
    assert Case(error=failure("rejected", asked), rejected=1, paced=True).decided().delay == 0


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize("asked", [61, 100, 1e6])
def test_more_patience_than_there_is_gives_up(asked: float, paced: bool) -> None:
    assert Case(error=failure("rejected", asked), paced=paced, remaining=90).decided().delay is None
    assert Case(error=failure("unknown", asked), paced=paced, remaining=90).decided().delay is None


def test_a_server_error_that_asks_for_patience_gets_at_least_that() -> None:
    assert Case(error=failure("unknown", 7)).decided().delay == 7
    assert Case(error=failure("unknown", 0.1)).decided().delay == 0.5


@pytest.mark.parametrize("status", [408, 425])
@pytest.mark.parametrize("safety", Safety)
def test_what_the_server_has_not_processed_is_read_again(status: int, safety: Safety) -> None:
    decision = Case(error=APIError("late", status=status), safety=safety).decided()
    assert (decision.delay is not None) == (safety is Safety.READ)
    assert decision.spends == (safety is Safety.READ)


# -- errors of answers ---------------------------------------------------------------------------------------


def answered(status: int, body: bytes = b"", **lines: str) -> APIError:
    return api_error(Answer(status, headers(**lines), body), NOW, TOKEN)


def invalid_header(header: object, code: str = "invalid_header") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": "m", "details": {"header": header}}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        invalid_header("X-Enapter-Auth-Token"),
        invalid_header("x-enapter-auth-token"),
        invalid_header("X-Enapter-Auth-Token", "gateway/invalid_header"),
        invalid_header("X-Enapter-Auth-Token").replace(b'"errors": [', b'"errors": [{"code": "other"}, '),
    ],
)
def test_a_403_for_the_token_is_a_failed_authentication(body: bytes) -> None:
    error = answered(403, body)
    assert type(error) is AuthenticationError
    assert error.status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"errors": [{"code": "invalid_header", "message": "m"}]}',
        invalid_header("X-Enapter-Auth-User"),
        invalid_header(["X-Enapter-Auth-Token"]),
        invalid_header("X-Enapter-Auth-Token", "forbidden"),
    ],
)
def test_another_403_is_a_matter_of_the_role(body: bytes) -> None:
    assert type(answered(403, body)) is PermissionDeniedError
    assert type(answered(400, invalid_header("X-Enapter-Auth-Token"))) is not AuthenticationError


def test_the_documented_envelope() -> None:
    body = b'{"errors": [{"code": "devices/NOT_FOUND", "message": "no device", "details": {"id": "D"}}, {"code": "x"}]}'
    error = answered(404, body)
    assert (error.status, error.code, error.message, error.details) == (
        404,
        "devices/NOT_FOUND",
        "no device",
        {"id": "D"},
    )
    assert [detail.code for detail in error.errors] == ["devices/NOT_FOUND", "x"]
    assert str(error) == "status 404, code devices/NOT_FOUND: no device"
    assert error.body_excerpt == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>no</html>",
        b"null",
        b"[]",
        b'{"errors": {}}',
        b'{"errors": null}',
        b'{"errors": [1, "x", null]}',
        b"\xff\xfe",
        b'{"error": "no"}',
        b"[" * 5000,
    ],
)
def test_what_is_not_the_envelope_is_quoted_shortly(body: bytes) -> None:
    error = answered(400, body)
    assert (error.code, error.errors, error.details, error.message) == (None, (), {}, "status 400")
    assert len(error.body_excerpt) <= 300


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(429, "rejected")]
    # 520 to 526 and 561 are proxies' own: 524 says that the server was asked and has not answered in time.
    + [(status, "unknown") for status in (500, 502, 503, 504, 507, 520, 524, 561, 599)]
    + [(status, "final") for status in (101, 301, 400, 401, 403, 404, 409, 422, 451, 501, 505)],
)
def test_what_a_status_says_of_the_request(status: int, outcome: Outcome) -> None:
    assert answered(status).outcome == outcome


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 524])
def test_what_may_pass_if_asked_again_later(status: int) -> None:
    assert may_pass(answered(status))
    assert may_pass(ConnectError("refused"))
    assert may_pass(DeadlineExceededError("late"))
    assert may_pass(TokenProviderError("the vault is closed"))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422, 451, 501, 505])
def test_what_does_not_pass_however_often_it_is_asked(status: int) -> None:
    assert not may_pass(answered(status))
    assert not may_pass(SchemaError("no text", path="id"))
    assert not may_pass(ClientClosedError())


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (f"https://other.example.net/x?token={TOKEN}", " to https://other.example.net,"),
        ("/elsewhere", "redirects,"),
        (f"https://{TOKEN}.example.net/", " to https://***.example.net,"),
        ("", "redirects,"),
    ],
)
def test_a_redirect_tells_where_to_without_a_query(location: str, told: str) -> None:
    message = str(answered(302, Location=location))
    assert told in message
    assert TOKEN not in message


# -- masking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"you sent {TOKEN}, {TOKEN}", "you sent ***, ***"),
        (f"cut off: {TOKEN[:-3]}", "cut off: ***"),
        (f"{TOKEN[:8]}{TOKEN}", "******"),
        (f"{TOKEN[:7]}", TOKEN[:7]),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_a_secret_is_masked_also_where_it_is_cut_off(text: str, shown: str) -> None:
    assert masked(text, None, TOKEN, "") == shown


def test_what_is_too_short_to_be_a_secret_does_not_spoil_texts() -> None:
    assert masked("the attempt was lost", "t") == "the attempt was lost"
    assert masked("a pass", "pass") == "a ***"
    assert masked("a" * 40, "a" * 9) == "*" * 12 + "aaaa"


def test_json_is_masked_in_keys_and_texts_and_left_alone_elsewhere() -> None:
    value: JSON = {TOKEN: [TOKEN, 1, None, {"x": f"<{TOKEN}>"}], "y": 1.5}
    assert masked_json(value, TOKEN) == {"***": ["***", 1, None, {"x": "<***>"}], "y": 1.5}
