"""Profiles: servers and sites in one file, each with a token or a reference to one."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import tomllib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypedDict, TypeVar, Unpack, cast

import attrs
import click
from click.shell_completion import CompletionItem

from enapter_async import CLOUD_URL, ConfigurationError, __version__
from enapter_async._files import load_ca_file
from enapter_async.cli.otel import environment_hooks
from enapter_async.cli.parameters import option

if TYPE_CHECKING:
    import ssl

    from enapter_async import EnapterClient, Hook, RateLimit, SharedRateLimit

_CHOSEN: Final = "enapter_async.cli.profile"
APP: Final = f"enapter-async-cli/{__version__}"
"""Name of the command in the User-Agent."""
_TOKEN_COMMAND_SECONDS: Final = 120.0
_TOKENS: Final = ("token", "token_env", "token_command")
_FOLDER: Final = "enapter-async"

A = TypeVar("A", bound=attrs.AttrsInstance)


class RateOptions(TypedDict, total=False):
    """Options of a client for its rate limit."""

    rate_limit: RateLimit
    shared_rate_limit: SharedRateLimit


@attrs.frozen(kw_only=True)
class Profile:
    """A server, the source of its token, and defaults for commands.

    Attributes:
        name: Name in the file; None for the settings of the environment.
        source: Human-readable origin of the settings.
        base_url: Address of the server.
        token: The token itself.
        token_env: Environment variable with the token.
        token_command: Program that prints the token, and its arguments.
        user: Name of the user to act as.
        site_id: Default site of commands.
        ca_file: PEM file with the certificate to trust.
    """

    name: str | None = None
    source: str = "the environment"
    base_url: str = CLOUD_URL
    token: str | None = attrs.field(default=None, repr=False)
    token_env: str | None = None
    token_command: tuple[str, ...] = ()
    user: str | None = None
    site_id: str | None = None
    ca_file: Path | None = None

    @property
    def token_source(self) -> str:
        """Human-readable source of the token."""
        if self.token_env is not None:
            return f"environment variable {self.token_env}"
        if self.token_command:
            return f"command {self.token_command[0]}"
        return "the file" if self.name is not None else "the environment"

    async def get_token(self, *, quiet: bool = False) -> str:
        """Return the token.

        Args:
            quiet: Let the command that prints the token neither ask nor say anything.

        Raises:
            ConfigurationError: The token is not available.
        """
        if self.token_command:
            return await _run_token_command(self.token_command, quiet=quiet)
        if self.token_env is not None:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise ConfigurationError(f"{self.source} reads its token from {self.token_env}, which is not set")
            return token
        return self.token or ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS settings for the certificate file, if any.

        Raises:
            ConfigurationError: The file cannot be read or has no certificates.
        """
        if self.ca_file is None:
            return None
        return load_ca_file(self.ca_file, f"{self.source}: ca_file {self.ca_file} cannot be used")

    @asynccontextmanager
    async def connected(
        self, hooks: Iterable[Hook] = (), *, quiet: bool = False, **options: Unpack[RateOptions]
    ) -> AsyncGenerator[EnapterClient, None]:
        """Provide a client during a block.

        Args:
            hooks: Hooks of the client.
            quiet: Let the command that prints the token neither ask nor say anything, and export nothing.
            **options: Further options of the client.

        Raises:
            ConfigurationError: A setting is invalid.
        """
        from enapter_async import EnapterClient  # imports aiohttp, which takes longer than everything else

        # Get the token here first, for a complete error message.
        known: list[str] = [await self.get_token(quiet=quiet)]

        async def token() -> str:
            return known.pop() if known else await self.get_token()

        exporters = () if quiet else environment_hooks()
        async with EnapterClient(
            base_url=self.base_url,
            token=token if self.token_command else known[0],
            user=self.user,
            app=APP,
            hooks=(*hooks, *exporters),
            ssl_context=self.ssl_context(),
            **options,
        ) as client:
            for exporter in exporters:
                exporter.observe(client)
            yield client


async def _run_token_command(command: tuple[str, ...], *, quiet: bool) -> str:
    import anyio

    terminal = subprocess.DEVNULL if quiet else None

    try:
        with anyio.fail_after(_TOKEN_COMMAND_SECONDS):
            ended = await anyio.run_process(command, stdin=terminal, stderr=terminal, check=False)
    except TimeoutError:
        raise ConfigurationError(f"token_command {command[0]} took over {_TOKEN_COMMAND_SECONDS:g} s") from None
    except OSError as error:
        raise ConfigurationError(f"token_command {command[0]} cannot be run: {error.strerror or error}") from error
    if ended.returncode:
        raise ConfigurationError(f"token_command {command[0]} failed with exit code {ended.returncode}")
    return ended.stdout.decode("utf-8-sig", "replace").strip()


def config_path() -> Path:
    """Return the path of the file: `$ENAPTER_CONFIG`, or `config.toml` in the user's configuration folder.

    The folder of earlier versions, `~/.config/enapter-async`, is used if only that one has the file.
    """
    if named := os.environ.get("ENAPTER_CONFIG"):
        return Path(named)
    from platformdirs import user_config_path

    folder = os.environ.get("XDG_CONFIG_HOME", "")
    earlier = Path(folder) if Path(folder).is_absolute() else Path.home() / ".config"
    folders = (user_config_path(_FOLDER, appauthor=False), earlier / _FOLDER)
    paths = [one / "config.toml" for one in folders if one.is_absolute()]  # XDG: relative folders must be ignored
    return next((path for path in paths if path.exists()), paths[0])


@attrs.frozen(kw_only=True)
class ProfileFile:
    """The file with the profiles.

    A profile is validated on access, so that an invalid one does not block the others.

    Attributes:
        path: Path of the file.
        default: Profile to use by default.
        profiles: Settings of each profile, by name.
    """

    path: Path = Path()
    default: str | None = None
    profiles: dict[str, object] = attrs.field(factory=dict[str, object])

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file, or return None if it does not exist.

        Raises:
            ConfigurationError: The file cannot be read, or has settings other than `default` and `profiles`.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors may write a BOM
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is not UTF-8; save it as UTF-8") from error
        except RecursionError as error:
            raise ConfigurationError(f"{path} is nested too deeply") from error
        except ValueError as error:
            raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
        file = attrs.evolve(_structure(content, cls, str(path)), path=path)
        if file.default is not None and file.default not in file.profiles:
            raise ConfigurationError(f"{path}: default {file.default!r} is not a profile; there are {file.names}")
        return file

    @property
    def names(self) -> str:
        """Names of all profiles, as text."""
        return ", ".join(sorted(self.profiles)) or "none"

    def profile(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            ConfigurationError: The profile does not exist, or one of its settings is invalid.
        """
        if name not in self.profiles:
            raise ConfigurationError(f"there is no profile {name!r} in {self.path}; there are {self.names}")
        source = f"profile {name!r} of {self.path}"
        settings = self.profiles[name]
        if not isinstance(settings, dict):
            raise ConfigurationError(f"{source} must be a table")
        profile = _structure(cast("dict[str, object]", settings), Profile, source)
        if sum(key in settings for key in _TOKENS) != 1:
            raise ConfigurationError(f"{source} needs exactly one of {', '.join(_TOKENS)}")
        if profile.token is not None and _is_readable_by_others(self.path):
            raise ConfigurationError(f"{self.path} contains a token and others can read it: run chmod 600 {self.path}")
        ca_file = None if profile.ca_file is None else self.path.parent / profile.ca_file.expanduser()
        return attrs.evolve(profile, name=name, source=source, ca_file=ca_file)


def _structure(table: Mapping[str, object], kind: type[A], where: str) -> A:
    """Create an object from a table whose keys must be settings.

    Raises:
        ConfigurationError: The table is invalid. The message names the first problem.
    """
    from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
    from cattrs.gen import make_dict_structure_fn, override

    converter = Converter()
    converter.register_structure_hook(str, _text)  # the hook of cattrs would convert a number to text
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(lambda of: of == tuple[str, ...], _command)
    converter.register_structure_hook_func(lambda of: of == dict[str, object], _table)
    omit = override(omit=True)
    structure = make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, name=omit, source=omit, path=omit
    )
    try:
        return structure(table, kind)
    except ClassValidationError as error:
        typed, others = error.group_exceptions()
        for problem in others:
            if isinstance(problem, ForbiddenExtraKeysError):
                known = ", ".join(sorted(set(attrs.fields_dict(kind)) - {"name", "source", "path"}))
                unknown = min(problem.extra_fields)
                raise ConfigurationError(f"{where}: {unknown!r} is not a setting; use {known}") from None
        raise ConfigurationError(f"{where}: {typed[0][1].name} {typed[0][0]}") from None


def _text(value: object, _: object = None) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text")
    return value


def _path(value: object, _: object = None) -> Path:
    return Path(_text(value))


def _command(value: object, _: object = None) -> tuple[str, ...]:
    words: object = value
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"is not a valid command line: {error}") from error
    if not isinstance(words, list) or not words or not all(isinstance(one, str) for one in cast("list[object]", words)):
        raise ValueError("must be a program and its arguments")
    return tuple(cast("list[str]", words))


def _table(value: object, _: object = None) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("must be a table")  # noqa: TRY004 - as the others
    return cast("dict[str, object]", value)


def _is_readable_by_others(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def profile_named(name: str | None) -> Profile:
    """Return the named profile, or that of ENAPTER_PROFILE, of the environment, or the default of the file.

    A named profile ignores ENAPTER_HTTP_API_*, so that the token of one server is not sent to another.

    Raises:
        ConfigurationError: The profile does not exist, or no profile is configured.
    """
    name = name or os.environ.get("ENAPTER_PROFILE") or None
    if name is None and (profile := _environment_profile()) is not None:
        return profile
    path = config_path()
    file = ProfileFile.read(path)
    if name is None and (file is None or file.default is None):
        missing = f"{path} does not exist" if file is None else f"{path} does not set a default profile"
        raise ConfigurationError(f"the environment variable ENAPTER_HTTP_API_TOKEN is not set, and {missing}")
    if file is None:
        raise ConfigurationError(f"there is no profile {name!r}: {path} does not exist")
    return file.profile(name or file.default or "")


def _environment_profile() -> Profile | None:
    """Return the profile of ENAPTER_HTTP_API_*, if there is a token."""
    token, base_url, user = (
        os.environ.get(f"ENAPTER_HTTP_API_{name}", "").strip() for name in ("TOKEN", "BASE_URL", "USER")
    )
    return Profile(token=token, base_url=base_url or CLOUD_URL, user=user or None) if token else None


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and not value.strip():
        # It may come from an unset variable, and the default profile may belong to another server.
        raise click.BadParameter("must not be empty", context, parameter)
    if value is not None:
        context.meta[_CHOSEN] = value


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a profile. Return nothing if the file cannot be read."""
    del context, parameter
    try:
        file = ProfileFile.read(config_path())
    except ConfigurationError:
        file = None
    return [CompletionItem(name) for name in (file.profiles if file else ()) if name.startswith(incomplete)]


profile_option: Final = option(
    "--profile",
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    callback=_remember,
    help="Profile of the configuration file to use.",
    shell_complete=_complete,
)


def chosen_profile() -> Profile:
    """Return the profile chosen by the running command, or the default one.

    Raises:
        ConfigurationError: The profile does not exist, or no profile is configured.
    """
    return profile_of(click.get_current_context(silent=True))


def profile_of(context: click.Context | None) -> Profile:
    """Return the profile chosen by the command of a context, or the default one.

    Raises:
        ConfigurationError: The profile does not exist, or no profile is configured.
    """
    return profile_named(None if context is None else cast("str | None", context.meta.get(_CHOSEN)))


def default_site() -> str | None:
    """Return the site of the chosen profile, if any."""
    try:
        return chosen_profile().site_id
    except ConfigurationError:
        return None  # reported when the command runs; `--help` must not fail
