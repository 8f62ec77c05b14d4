"""The token is kept out of texts in any way that it can be written."""

from __future__ import annotations

import html
import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enapter_async import ClientConfig, EnapterClient, EnapterError, RetryPolicy
from enapter_async._protocol.failure import api_error
from enapter_async._protocol.redact import masked
from enapter_async._protocol.request import Answer, Headers

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=4, max_size=40)
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": lambda secret: repr(secret)[1:-1],
    "repr of bytes": lambda secret: repr(secret.encode())[2:-1],
    "repr of a repr": lambda secret: repr(repr(secret)[1:-1])[1:-1],
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON as PHP writes it": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON as Go writes it": lambda secret: (
        json.dumps(secret)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "JSON within JSON": lambda secret: json.dumps(json.dumps(secret))[3:-3],
    "JSON in nothing but codes": lambda secret: "".join(f"\\u{ord(one):04X}" for one in secret),
    "URL": lambda secret: quote(secret, safe=""),
    "URL within a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "form": lambda secret: quote_plus(secret, safe=""),
    "HTML": html.escape,
    "HTML within HTML": lambda secret: html.escape(html.escape(secret)),
    "octal codes": lambda secret: "".join(f"\\{ord(one):03o}" for one in secret),
    "JavaScript in nothing but codes": lambda secret: "".join(f"\\u{{{ord(one):x}}}" for one in secret),
    "HTML in nothing but codes": lambda secret: "".join(f"&#{ord(one)};" for one in secret),
}
TOKEN = "it's\\a\"token/with<all>&that=is+%41odd\\\\\\\\"


@pytest.mark.parametrize("way", WAYS)
@given(secret=PRINTABLE)
@example(secret=TOKEN)
@example(secret="12345678\\\\rest")
@example(secret="1234567\\\\\\\\\\rest")
@example(secret="\\\\\\\\")
def test_no_way_of_writing_shows_a_secret(way: str, secret: str) -> None:
    text = f"«{WAYS[way](secret)}» \\ % &"  # with escapes in it, whatever the secret
    assert masked(text, secret) == "«***» \\ % &"


CODES: dict[str, Callable[[str], str]] = {
    "URL": lambda secret: "".join(f"%{ord(one):02x}" for one in secret),
    "HTML": lambda secret: "".join(f"&#{ord(one)};" for one in secret),
    "HTML without semicolons": lambda secret: "".join(f"&#x{ord(one):x}" for one in secret),
    "JSON": lambda secret: "".join(f"\\u{ord(one):04x}" for one in secret),
    "Python": lambda secret: "".join(f"\\U{ord(one):08x}" for one in secret),
    "old JavaScript": lambda secret: "".join(f"%u{ord(one):04x}" for one in secret),
}


@pytest.mark.parametrize("outer", CODES)
@pytest.mark.parametrize("inner", CODES)
def test_no_notation_within_another_shows_a_secret(inner: str, outer: str) -> None:
    secret = "zyxwvuts-rqponmlk"
    shown = masked(f'{{"code": "BAD", "text": "got {CODES[outer](CODES[inner](secret))}"}}', secret)
    assert shown == '{"code": "BAD", "text": "got ***"}'


def test_looking_for_a_notation_within_another_changes_no_other_text() -> None:
    for text in ("100 % of a &amp;amp; b", r"C:\\users\\x41", "%25252525252525252541", "&" * 1000, "\\" * 1000):
        assert masked(text, "zyxwvuts-rqponmlk") == text


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_that_is_cut_off_is_masked(way: str) -> None:
    secret = "it's\\a\"t0k3n/of<all>&kinds"
    written = WAYS[way](secret)
    shown = masked(f"«{written[: len(written) // 2]}", secret)
    assert "t0k3n"[:3] not in shown


@pytest.mark.parametrize("body", ['{"errors": [{"message": %s}]}', '{"unexpected": %s}', "<p>%s</p>", "[%s"])
@pytest.mark.parametrize("way", WAYS)
def test_an_error_shows_no_token_that_the_server_echoes(body: str, way: str) -> None:
    answer = Answer(400, Headers(), (body % json.dumps(WAYS[way](TOKEN))).encode())
    error = api_error(answer, datetime.now(UTC), TOKEN)
    for text in (str(error), repr(error), error.message, error.body_excerpt, repr(error.errors)):
        assert "token" not in text
        assert "t\\u006f" not in text.lower()


# -- locals -----------------------------------------------------


def locals_of(error: BaseException) -> str:
    """Return what tools that print the locals of each frame would show."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


async def refused(client: EnapterClient) -> BaseException:
    with pytest.raises(EnapterError) as caught:
        await client.devices.get("D")
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize("provided", [False, True])
async def test_the_locals_of_our_frames_do_not_show_the_token(provided: bool) -> None:
    secret = "eT0k-3n" + "ThatNobodyMaySee"

    class Provider:
        async def __call__(self) -> str:
            return secret

    token: Any = Provider() if provided else secret
    options: dict[str, Any] = {"base_url": "http://127.0.0.1:1", "retry": RetryPolicy.none()}
    async with EnapterClient(token=token, **options) as client:
        error = await refused(client)
    shown = locals_of(error)
    assert "client = " in shown
    assert secret not in shown.replace(f"secret = '{secret}'", "")


def test_a_token_is_a_text_like_others() -> None:
    config = ClientConfig(token="  a-token-with-spaces ")
    assert config.token == "a-token-with-spaces"
    assert f"{config.token}" == "a-token-with-spaces"
    assert "a-token" not in repr(config.token)
