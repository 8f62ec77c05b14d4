"""Profiles: several servers and sites in one file, each with a token that need not stand in it."""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import click

from enapter_async import ConfigurationError, __version__
from enapter_async.cli.parameters import option

if TYPE_CHECKING:
    import ssl

    from enapter_async import EnapterClient, Hook

_CHOSEN: Final = "enapter_async.cli.profile"
CLOUD_URL: Final = "https://api.enapter.com"
_APP: Final = f"enapter-async-cli/{__version__}"
_TOKEN_COMMAND_SECONDS: Final = 120.0
_TOKENS: Final = ("token", "token_env", "token_command")


@attrs.frozen(kw_only=True)
class Profile:
    """A server, the way to its token, and what commands take for granted there.

    Attributes:
        name: Its name in the file; None for what the environment says.
        source: Where it stands, for people.
        base_url: Address of the server.
        token: The token itself.
        token_env: Environment variable with the token.
        token_command: Program that prints the token, and its arguments.
        user: Name of the user to act as.
        site_id: Site of commands that are given none.
        ca_file: PEM file with the certificate to trust.
    """

    name: str | None
    source: str
    base_url: str = CLOUD_URL
    token: str | None = attrs.field(default=None, repr=False)
    token_env: str | None = None
    token_command: tuple[str, ...] = ()
    user: str | None = None
    site_id: str | None = None
    ca_file: Path | None = None

    @property
    def token_source(self) -> str:
        """Where the token comes from, for people."""
        if self.token_env is not None:
            return f"environment variable {self.token_env}"
        if self.token_command:
            return f"command {self.token_command[0]}"
        return "the file" if self.name is not None else "the environment"

    async def get_token(self) -> str:
        """Get the token.

        Raises:
            ConfigurationError: It is not where it should be.
        """
        if self.token_command:
            return await _told(self.token_command)
        if self.token_env is not None:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise ConfigurationError(f"{self.source} takes its token from {self.token_env}, which is not set")
            return token
        return self.token or ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what the certificate file asks for; None where there is none.

        Raises:
            ConfigurationError: The file cannot be read, or is none of certificates.
        """
        if self.ca_file is None:
            return None
        import ssl

        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{self.source}: ca_file {self.ca_file} cannot be used: {error}") from error

    @asynccontextmanager
    async def connected(self, hooks: Iterable[Hook] = ()) -> AsyncGenerator[EnapterClient, None]:
        """Give a client for the length of a block.

        Args:
            hooks: Of the client.

        Raises:
            ConfigurationError: A setting cannot work.
        """
        from enapter_async import EnapterClient  # brings aiohttp, which takes longer than all else

        # Asked here first: what is wrong with it should be said in full.
        known: list[str] = [await self.get_token()]

        async def token() -> str:
            return known.pop() if known else await self.get_token()

        async with EnapterClient(
            base_url=self.base_url,
            token=token if self.token_command else known[0],
            user=self.user,
            app=_APP,
            hooks=hooks,
            ssl_context=self.ssl_context(),
        ) as client:
            yield client


async def _told(command: tuple[str, ...]) -> str:
    import anyio

    try:
        with anyio.fail_after(_TOKEN_COMMAND_SECONDS):
            ended = await anyio.run_process(command, stdin=None, stderr=None, check=False)
    except TimeoutError:
        raise ConfigurationError(f"token_command {command[0]} took over {_TOKEN_COMMAND_SECONDS:g} s") from None
    except OSError as error:
        raise ConfigurationError(f"token_command {command[0]} cannot be run: {error.strerror or error}") from error
    if ended.returncode:
        raise ConfigurationError(f"token_command {command[0]} failed with exit code {ended.returncode}")
    return ended.stdout.decode("utf-8", "replace").strip()


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return where profiles stand: ENAPTER_CONFIG, else `enapter-async/config.toml` in the XDG folder."""
    environment = os.environ if environment is None else environment
    if environment.get("ENAPTER_CONFIG"):
        return Path(environment["ENAPTER_CONFIG"])
    folder = environment.get("XDG_CONFIG_HOME") or ""
    base = Path(folder) if Path(folder).is_absolute() else Path.home() / ".config"
    return base / "enapter-async" / "config.toml"


def read_profiles(path: Path) -> tuple[dict[str, Profile], str | None]:
    """Read all profiles of a file, and the name of the default one.

    A file that does not exist has none.

    Raises:
        ConfigurationError: It cannot be read, or a setting in it cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except FileNotFoundError:
        return {}, None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error
    _refuse_unknown(content, {"default", "profiles"}, str(path))
    tables = cast("dict[str, object]", _typed(content, "profiles", dict, str(path)) or {})
    profiles = {name: _profile(name, table, path) for name, table in tables.items()}
    default = cast("str | None", _typed(content, "default", str, str(path)))
    if default is not None and default not in profiles:
        raise ConfigurationError(f"{path}: default {default!r} is no profile; there are {_names(profiles)}")
    return profiles, default


def _profile(name: str, table: object, path: Path) -> Profile:
    where = f"profile {name!r} of {path}"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} must be a table")
    settings = cast("dict[str, Any]", table)
    _refuse_unknown(settings, {"base_url", "user", "site_id", "ca_file", *_TOKENS}, where)
    texts = {
        key: cast("str", _typed(settings, key, str, where))
        for key in ("base_url", "user", "site_id", "token", "token_env")
        if key in settings
    }
    command = settings.get("token_command", ())
    if isinstance(command, str):
        command = shlex.split(command)
    if not isinstance(command, (list, tuple)) or not all(isinstance(one, str) for one in cast("list[object]", command)):
        raise ConfigurationError(f"{where}: token_command must be a program and its arguments")
    if sum(key in settings for key in _TOKENS) != 1 or ("token_command" in settings and not command):
        raise ConfigurationError(f"{where} needs exactly one of {', '.join(_TOKENS)}")
    if "token" in settings and _is_readable_by_others(path):
        raise ConfigurationError(f"{path} holds a token and others can read it: chmod 600 {path}")
    ca_file = cast("str | None", _typed(settings, "ca_file", str, where))
    return Profile(
        name=name,
        source=where,
        token_command=tuple(cast("list[str]", command)),
        ca_file=None if ca_file is None else path.parent / Path(ca_file).expanduser(),
        **texts,
    )


def _typed(table: Mapping[str, object], key: str, kind: type[object], where: str) -> object:
    value = table.get(key)
    if value is not None and (not isinstance(value, kind) or value == ""):
        raise ConfigurationError(f"{where}: {key} must be {'text' if kind is str else 'a table'}")
    return value


def _refuse_unknown(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{where}: {key!r} is no setting; there are {', '.join(sorted(known))}")


def _is_readable_by_others(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _names(profiles: Iterable[str]) -> str:
    return ", ".join(sorted(profiles)) or "none"


def profile_named(name: str | None, environment: Mapping[str, str] | None = None) -> Profile:
    """Return the profile of a name; without one that of ENAPTER_PROFILE, the environment's, or the file's default.

    A profile that was named takes nothing from ENAPTER_HTTP_API_*: the token of one server must not go to another.

    Raises:
        ConfigurationError: There is no such profile, or none at all.
    """
    environment = os.environ if environment is None else environment
    path = config_path(environment)
    name = name or environment.get("ENAPTER_PROFILE") or None
    token = environment.get("ENAPTER_HTTP_API_TOKEN", "").strip()
    if name is None and token:
        return Profile(
            name=None,
            source="the environment",
            token=token,
            base_url=environment.get("ENAPTER_HTTP_API_BASE_URL", "").strip() or CLOUD_URL,
            user=environment.get("ENAPTER_HTTP_API_USER", "").strip() or None,
        )
    profiles, default = read_profiles(path)
    name = name or default
    if name is None:
        raise ConfigurationError(
            f"the environment variable ENAPTER_HTTP_API_TOKEN is not set, and {path} names no default profile"
        )
    if name not in profiles:
        raise ConfigurationError(f"there is no profile {name!r} in {path}; there are {_names(profiles)}")
    return profiles[name]


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    del parameter
    if value is not None:
        context.meta[_CHOSEN] = value


profile_option: Final = option(
    "--profile",
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    callback=_remember,
    help="Profile of the configuration file to use.",
)


def chosen_profile() -> Profile:
    """Return the profile that the running command was given, or the one that applies without.

    Raises:
        ConfigurationError: There is no such profile, or none at all.
    """
    context = click.get_current_context(silent=True)
    return profile_named(None if context is None else cast("str | None", context.meta.get(_CHOSEN)))


def default_site() -> str | None:
    """Return the site of the chosen profile; None where nothing says one."""
    try:
        return chosen_profile().site_id
    except ConfigurationError:
        return None  # said properly once the command runs; `--help` must not fail for it
