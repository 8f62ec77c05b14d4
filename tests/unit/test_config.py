"""Settings are checked when they are made, and no message shows a secret."""

from __future__ import annotations

import copy
import math
import pickle
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from enapter_async import (
    ConfigurationError,
    EnapterClient,
    InsecureConnectionWarning,
    InvalidArgumentError,
    RateLimit,
    RetryPolicy,
    StreamPolicy,
    Timeouts,
)
from enapter_async.config import CLOUD_URL, ClientConfig, settings_from_environment
from tests.secrecy import TOKEN, assert_clean


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.enapter.com", "https://api.enapter.com"),
        ("https://api.enapter.com/", "https://api.enapter.com"),
        (" http://192.0.2.1:8080/api/ ", "http://192.0.2.1:8080/api"),
        ("HTTP://gateway.local/api", "http://gateway.local/api"),
        ("https://[2001:db8::1]:8443/api", "https://[2001:db8::1]:8443/api"),
    ],
)
def test_a_base_url_is_kept_without_what_does_not_matter(given: str, kept: str) -> None:
    assert ClientConfig(base_url=given).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway:0",
        "",
        " ",
        None,
        5,
        b"https://api.enapter.com",
        "api.enapter.com",
        "//api.enapter.com",
        "ftp://api.enapter.com",
        "https://",
        "https:///v3",
        "https://:443",
        "https://api.enapter.com?token=x",
        "https://api.enapter.com/#x",
        "https://api.enapter.com?",
        "https://api.enapter.com/v3",
        "https://api.enapter.com/v3/",
        f"https://user:{TOKEN}@api.enapter.com",
        f"https://{TOKEN}@api.enapter.com",
        "https://api.enapter.com:port",
        "https://api.enapter.com:99999",
        "https://[::1",
        "https://api.enapter.com/a b",
        "https://api.enapter.com/\r\nX: y",
        "https://api.enapter.com/ä",
    ],
)
def test_a_base_url_that_cannot_be_is_refused(url: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^base_url ") as caught:
        EnapterClient(token=TOKEN, base_url=url)  # type: ignore[arg-type]
    assert_clean(caught.value)


@pytest.mark.parametrize("setting", ["token", "user", "app"])
@pytest.mark.parametrize(
    "value", ["", " \n", f"{TOKEN}\n{TOKEN}", f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}\0", f"{TOKEN}é", 5, b"x"]
)
def test_a_header_that_cannot_be_is_refused_and_not_echoed(setting: str, value: object) -> None:
    options: dict[str, Any] = {"token": TOKEN, setting: value}
    with pytest.raises(ConfigurationError, match=f"^{setting} must") as caught:
        EnapterClient(**options)
    assert_clean(caught.value)


def test_white_space_around_a_token_is_stripped() -> None:
    assert ClientConfig(token=f"  {TOKEN}\n").token == TOKEN


NUMBERS: list[tuple[type, str, list[object]]] = [
    (Timeouts, "total", [0, -1, math.nan, math.inf, 10**400, "5", None, True]),
    (Timeouts, "attempt", [0, -0.5, math.inf]),
    (Timeouts, "connect", [0, math.nan]),
    (Timeouts, "command", [0, "3m"]),
    (RetryPolicy, "max_attempts", [0, -1, 1.5, True, None]),
    (RetryPolicy, "initial_delay", [-1, math.nan, "1"]),
    (RetryPolicy, "max_delay", [-1, math.nan]),
    (RetryPolicy, "max_retry_after", [-1, None]),
    (RetryPolicy, "resend_converging", [1, None, "no"]),
    (RateLimit, "requests_per_second", [0, -1, math.nan, math.inf, "5", True]),
    (RateLimit, "burst", [0, 1.5]),
    (RateLimit, "initial_in_flight", [0, None]),
    (RateLimit, "adaptive", ["yes", None]),
    (StreamPolicy, "buffer_size", [0]),
    (StreamPolicy, "heartbeat", [0]),
    (StreamPolicy, "overflow", ["drop", None]),
    (StreamPolicy, "max_outage", [0, -1]),
    (ClientConfig, "max_in_flight", [0, 1.5, None]),
    (ClientConfig, "max_streams", [0]),
    (ClientConfig, "max_response_bytes", [0, "64M"]),
    (ClientConfig, "trust_env", [1, "no", None]),
]


@pytest.mark.parametrize(
    ("type_", "field", "value"), [(type_, field, value) for type_, field, values in NUMBERS for value in values]
)
def test_a_setting_out_of_its_range_is_refused_by_name(type_: type, field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"{type_.__name__}\.{field} must"):
        type_(**{field: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("timeouts", 30),
        ("timeouts", 0),
        ("retry", 3),
        ("retry", False),
        ("rate_limit", 10),
        ("hooks", print),
        ("hooks", None),
        ("hooks", [None]),
        ("http_session", object()),
        ("ssl_context", False),
        ("ssl_context", "/etc/ssl/ca.pem"),
        ("proxy", "proxy.example.net:3128"),
        ("proxy", "socks5://proxy.example.net"),
        ("proxy", f"http://user:{TOKEN}@"),
        ("proxy", f"http://user:{TOKEN}@proxy.example.net:port"),
        ("proxy", f"http://user:{TOKEN}@proxy example.net"),
        ("proxy", "http://127.1:3128"),
        ("proxy", "http://a..example:3128"),
        ("proxy", "http://proxy.example.net:0"),
        ("proxy", 5),
    ],
)
def test_an_option_of_another_kind_is_refused_by_name(option: str, value: object) -> None:
    options: dict[str, Any] = {"token": TOKEN, option: value}
    with pytest.raises(ConfigurationError, match=f"^{option} must be ") as caught:
        EnapterClient(**options)
    assert_clean(caught.value)


def test_nothing_that_is_shown_holds_the_token() -> None:
    config = ClientConfig(token=TOKEN, proxy=f"http://user:{TOKEN}@proxy.example.net")
    client = EnapterClient(token=TOKEN, user="u", proxy=f"http://user:{TOKEN}@proxy.example.net")
    for shown in (config, client, client.with_options(user="v"), client.raw, client.devices, client.load):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert TOKEN not in text
    for name, value in vars(client).items():
        assert TOKEN not in f"{name} {value!r}"
    assert TOKEN not in repr(vars(client)["_session"].state)


class TestEnvironment:
    def test_what_it_gives(self) -> None:
        environment = {
            "ENAPTER_HTTP_API_TOKEN": f" {TOKEN} ",
            "ENAPTER_HTTP_API_BASE_URL": "http://gateway.local/api",
            "ENAPTER_HTTP_API_USER": "somebody",
        }
        client = EnapterClient.from_env(environment)
        assert repr(client) == "<EnapterClient http://gateway.local/api>"
        config: ClientConfig = client.config
        assert (config.token, config.user) == (TOKEN, "somebody")

    def test_empty_variables_count_as_not_set(self) -> None:
        environment = {"ENAPTER_HTTP_API_TOKEN": TOKEN, "ENAPTER_HTTP_API_BASE_URL": "", "ENAPTER_HTTP_API_USER": " "}
        config: ClientConfig = EnapterClient.from_env(environment).config
        assert (config.base_url, config.user) == (CLOUD_URL, None)

    def test_the_callers_user_wins(self) -> None:
        environment = {"ENAPTER_HTTP_API_TOKEN": TOKEN, "ENAPTER_HTTP_API_USER": "somebody"}
        config: ClientConfig = EnapterClient.from_env(environment, user="else").config
        assert config.user == "else"

    @pytest.mark.parametrize("environment", [{}, {"ENAPTER_HTTP_API_TOKEN": " "}])
    def test_without_a_token_the_variable_is_named(self, environment: dict[str, str]) -> None:
        with pytest.raises(ConfigurationError, match="ENAPTER_HTTP_API_TOKEN is not set"):
            settings_from_environment(environment)

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", TOKEN)
        monkeypatch.setenv("ENAPTER_HTTP_API_BASE_URL", "http://127.0.0.1:1")
        monkeypatch.delenv("ENAPTER_HTTP_API_USER", raising=False)
        assert repr(EnapterClient.from_env()) == "<EnapterClient http://127.0.0.1:1>"


class TestGateway:
    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("enapter-gateway.local", "http://enapter-gateway.local/api"),
            ("192.0.2.7:8080", "http://192.0.2.7:8080/api"),
            ("2001:db8::7", "http://[2001:db8::7]/api"),
            ("[2001:db8::7]:8080", "http://[2001:db8::7]:8080/api"),
        ],
    )
    def test_its_address(self, host: str, url: str) -> None:
        assert repr(EnapterClient.gateway(host, token=TOKEN)) == f"<EnapterClient {url}>"

    @pytest.mark.parametrize("host", ["", " ", None, "a/b", "user@gateway", "gateway?x", "http://gateway", "gate way"])
    def test_a_host_that_is_none_is_refused(self, host: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"host must be|base_url must"):
            EnapterClient.gateway(host, token=TOKEN)

    def test_a_scheme_that_is_none_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="scheme must be"):
            EnapterClient.gateway("gateway", token=TOKEN, scheme="ws")  # type: ignore[arg-type]

    def test_not_verifying_warns_where_the_caller_stands(self) -> None:
        with pytest.warns(InsecureConnectionWarning, match="can read the token") as caught:
            EnapterClient.gateway("gateway", token=TOKEN, scheme="https", verify=False)
        assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]

    def test_a_certificate_file_that_is_none_is_refused(self, tmp_path: Path) -> None:
        nonsense = tmp_path / "ca.pem"
        nonsense.write_text("no certificate")
        for path in (tmp_path / "missing.pem", nonsense, tmp_path):
            with pytest.raises(ConfigurationError, match="ca_file cannot be read") as caught:
                EnapterClient.gateway("gateway", token=TOKEN, scheme="https", ca_file=path)
            assert_clean(caught.value)

    @pytest.mark.parametrize("path", ["", " ", Path(" ")])
    def test_an_empty_name_of_a_certificate_file_does_not_trust_every_authority(self, path: str | Path) -> None:
        with pytest.raises(ConfigurationError, match=r"^ca_file cannot be read: the path is empty$"):
            EnapterClient.gateway("gateway", token=TOKEN, scheme="https", ca_file=path)

    def test_settings_that_contradict_each_other_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="verify=False"):
            EnapterClient.gateway("gateway", scheme="https", ca_file="ca.pem", verify=False)
        context = ssl.create_default_context()
        with pytest.raises(ConfigurationError, match="ssl_context"):
            EnapterClient.gateway("gateway", scheme="https", verify=False, ssl_context=context)


class TestOptions:
    @pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "2", True])
    def test_a_timeout_that_cannot_be_is_refused(self, timeout: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=r"^timeout: "):
            EnapterClient(token=TOKEN).with_options(timeout=timeout)

    @pytest.mark.parametrize(
        ("option", "value"),
        [("timeouts", 5), ("timeouts", 0), ("retry", 3), ("retry", 0), ("user", ""), ("user", "a\nb")],
    )
    def test_another_kind_is_refused(self, option: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"^{option} must"):
            EnapterClient(token=TOKEN).with_options(**{option: value})
        with pytest.raises(ConfigurationError, match=f"^{option} must"):
            EnapterClient(token=TOKEN).with_options(timeout=2, **{option: value})

    def test_a_copy_keeps_what_is_not_given(self) -> None:
        client = EnapterClient(token=TOKEN, user="u", retry=RetryPolicy.none(), timeouts=Timeouts(attempt=3))
        config: ClientConfig = client.with_options(timeout=2).config
        assert config.timeouts == Timeouts(total=2, command=2, attempt=3)
        assert (config.user, config.retry, config.token) == ("u", RetryPolicy.none(), TOKEN)
        original: ClientConfig = client.config
        assert original.timeouts == Timeouts(attempt=3)


def test_a_configuration_is_not_pickled_since_its_token_would_go_along() -> None:
    with pytest.raises(TypeError, match="would include its token"):
        pickle.dumps(ClientConfig(token="secret-token"))


async def catch_refusal_of_proxy(scheme: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> ConfigurationError:
    """Return the error of a client whose own or injected session would use a proxy of the environment."""
    url = f"{scheme}://api.example.net"
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        EnapterClient(token=TOKEN, base_url=url, trust_env=True)
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(ConfigurationError):
            EnapterClient(token=TOKEN, base_url=url, http_session=session)
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "SOCKS5h://proxy:1080", "socks4://u:secret@proxy"])
@pytest.mark.anyio
async def test_a_socks_proxy_of_the_environment_is_refused_by_name(
    scheme: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{scheme}://api.example.net"
    error = await catch_refusal_of_proxy(scheme, proxy, monkeypatch)
    assert str(error).startswith(f"{scheme.upper()}_PROXY names a SOCKS proxy")
    assert "secret" not in str(error)
    EnapterClient(token=TOKEN, base_url=url)
    EnapterClient(token=TOKEN, base_url=url, trust_env=True, proxy="http://proxy.example.net:3128")
    monkeypatch.setenv("no_proxy", "api.example.net")
    EnapterClient(token=TOKEN, base_url=url, trust_env=True)


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example.net:3128",
        f"u:{TOKEN}@proxy:3128",
        "ftp://proxy.example.net",
        "http://",
        "http://[",
        "http://127.1:3128",
        "http://a..example",
        "http://[::1]x:3128",
        "http://proxy.example.net:0",
        "https://proxy.example.net:3128",  # aiohttp would ignore it, and the token would go straight to the server
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.anyio
async def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused_by_name(
    scheme: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await catch_refusal_of_proxy(scheme, proxy, monkeypatch)
    assert str(error).startswith(f"{scheme.upper()}_PROXY ")
    assert_clean(error)
    monkeypatch.setenv(f"{scheme}_proxy", "http://user:password@proxy.example.net:3128")
    EnapterClient(token=TOKEN, base_url=f"{scheme}://api.example.net", trust_env=True)


def test_a_configuration_can_be_copied_and_not_pickled() -> None:
    config = ClientConfig(token=TOKEN)
    assert copy.deepcopy(config) == copy.copy(config) == config
    assert copy.deepcopy({"client": config})["client"].token == TOKEN
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(config)


IMPOSSIBLE = [
    "127.1",
    "2130706433",
    "0x7f000001",
    "1.2.3.256",
    "1.2.3.4.5",
    "127.0.0.0x1",
    "a..example",
    ".example",
    "example..",
    f"{64 * 'a'}.example",
    ".".join(["a" * 63] * 4),
    "ex*mple.net",
    "ex<mple.net",
    "\u2024example",
    "\u00fc" * 60 + ".example",
    "[v1.a]",
    "[::1]x",
    "[fe80::1%]",
    "[fe80::1%a/b]",
]


@pytest.mark.parametrize("host", IMPOSSIBLE)
def test_a_host_that_no_server_can_have_is_refused_when_the_client_is_made(host: str) -> None:
    for url in (f"http://{host}", f"https://{host}:8443/api"):
        with pytest.raises(ConfigurationError, match=r"^base_url (has an invalid host|is not)"):
            EnapterClient(token=TOKEN, base_url=url)
    with pytest.raises(ConfigurationError):
        EnapterClient.gateway(host, token=TOKEN)


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("m\u00fcnchen.example", "xn--mnchen-3ya.example"),
        ("M\u00dcNCHEN.example:8443", "xn--mnchen-3ya.example:8443"),
        ("stra\u00dfe.example", "xn--strae-oqa.example"),
        ("\u4f8b\u3048.jp", "xn--r8jz45g.jp"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("gateway_1", "gateway_1"),
        ("localhost.", "localhost."),
        ("192.168.0.9:8080", "192.168.0.9:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("[fe80::1%eth0]", "[fe80::1%eth0]"),
        ("[fe80::1%25eth0]:8080", "[fe80::1%eth0]:8080"),  # as RFC 6874 writes it; no resolver knows that
        ("enapter-gateway.local", "enapter-gateway.local"),
    ],
)
def test_a_host_is_kept_as_it_goes_over_the_wire(host: str, sent: str) -> None:
    assert ClientConfig(base_url=f"http://{host}/api").base_url == f"http://{sent}/api"
