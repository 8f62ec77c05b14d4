"""Query strings, and the arguments that go into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from enapter_async._protocol import query
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.communication import MqttProtocol

KNOWN = frozenset({"site", "manifest", "properties"})


def test_pairs_are_encoded_in_the_order_given() -> None:
    pairs = [("limit", "50"), ("devices[a/b]", "x,y z"), ("at", "2026-01-01T00:00:00Z"), ("n", "a&b=c#d+e%"), ("e", "")]
    assert query.encode(pairs) == (
        "limit=50&devices%5Ba%2Fb%5D=x,y%20z&at=2026-01-01T00:00:00Z&n=a%26b%3Dc%23d%2Be%25&e="
    )


def test_what_is_chosen_is_sorted_and_comes_once() -> None:
    assert query.chosen(["site", "manifest", "site"], KNOWN, "expand") == "manifest,site"
    assert query.chosen((name for name in ("site",)), KNOWN, "expand") == "site"
    assert query.chosen((), KNOWN, "expand") == query.chosen(set(), KNOWN, "expand") == ""


def test_what_is_listed_keeps_its_order() -> None:
    assert query.listed(["b", "a", "b"], "names") == "b,a,b"
    assert query.listed(iter("xy"), "names") == "x,y"


def test_an_enum_is_given_as_member_or_text_in_any_case() -> None:
    assert query.member(MqttProtocol.MQTTS, MqttProtocol, "protocol") == "MQTTS"
    assert query.member("mqtts", MqttProtocol, "protocol") == "MQTTS"
    assert query.member(MqttProtocol("MQTT_5"), MqttProtocol, "protocol") == "MQTT_5"


REFUSED: list[tuple[Callable[[Any, str], object], list[object]]] = [
    (
        lambda value, name: query.chosen(value, KNOWN, name),
        ["site", "", {"sight"}, None, 5, [5], [None], [["site"]], {"Site"}],
    ),
    (query.listed, ["a", "", [], None, 5, [""], ["a", " "], ["a,b"], [5], ["\ud800"]]),
    (query.texts, ["a", [], None, 5, [None], [b"a"]]),
    (query.text, ["", " ", None, 5, b"a", ["a"], "\ud800"]),
    (query.flag, [0, 1, None, "True"]),
    (lambda value, name: query.one_of(value, KNOWN, name), ["", "Site", None, [], {}]),
    (lambda value, name: query.member(value, MqttProtocol, name), ["", "HTTP", None, 5, []]),
    (lambda value, name: query.members(value, MqttProtocol, name), ["MQTT", [], None, 5, ["HTTP"], [None]]),
]


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in REFUSED for value in values])
def test_what_cannot_be_sent_is_refused_by_name(check: Callable[[Any, str], object], value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^given: ") as caught:
        check(value, "given")
    assert caught.value.argument == "given"


def test_the_message_tells_what_is_known() -> None:
    with pytest.raises(InvalidArgumentError, match=r"unknown value 'sight'; known are manifest, properties, site"):
        query.chosen({"sight", "site"}, KNOWN, "expand")
