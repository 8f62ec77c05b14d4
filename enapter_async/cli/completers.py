"""Shell completion of devices and attributes, within two seconds and silent on failure."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
from click.shell_completion import CompletionItem

from enapter_async._files import NewFile
from enapter_async._visible import make_visible
from enapter_async.cli.profiles import profile_of

if TYPE_CHECKING:
    from enapter_async import EnapterClient
    from enapter_async.cli.profiles import Profile

_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 300.0
_MOST: Final = 5_000
_PLAIN: Final = re.compile(r"[\w.@%+-]+").fullmatch
"""Names that every shell treats as one word."""

Names = dict[str, str]
"""Completions and their descriptions."""


def complete_device(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the ID or slug of a device."""
    del parameter
    with contextlib.suppress(Exception):
        return _matching(_known(context, "devices", _list_devices), incomplete)
    return []


def complete_attribute(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a telemetry attribute of the device in the command line."""
    del parameter
    with contextlib.suppress(Exception):
        given = context.params
        name = cast("str", given.get("device_id") or given.get("device") or given["devices"][0])
        site = cast("str | None", context.params.get("site_id"))

        async def list_attributes(client: EnapterClient) -> Names:
            manifest = await client.devices.get_manifest(name, site_id=site)
            return {attribute: one.display_name or "" for attribute, one in manifest.telemetry.items()}

        return _matching(_known(context, f"attributes {site} {name}", list_attributes), incomplete)
    return []


def complete_attributes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete `numeric`, `all`, or the last of several telemetry attributes separated by commas."""
    before, comma, last = incomplete.rpartition(",")
    kinds = [] if comma else [CompletionItem(kind) for kind in ("numeric", "all") if kind.startswith(last)]
    found = complete_attribute(context, parameter, last)
    return [*kinds, *(CompletionItem(f"{before}{comma}{one.value}", help=one.help) for one in found)]


async def _list_devices(client: EnapterClient) -> Names:
    names: Names = {}
    async for device in client.devices.list(max_items=_MOST):
        names[device.id] = device.name
        if device.slug:
            names[device.slug] = device.name
    return names


def _matching(names: Names, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=make_visible(about) or None)
        for name, about in names.items()
        if name.startswith(incomplete) and _PLAIN(name)
    ]


def _known(context: click.Context, what: str, fetch: Callable[[EnapterClient], Awaitable[Names]]) -> Names:
    """Return names from the cache, or from the server if they are older than five minutes."""
    profile = profile_of(context)
    cache = _cache_path(profile, what)
    names, age = _read_cache(cache)
    if names is not None and 0 <= age < _FRESH_SECONDS:
        return names
    import anyio

    async def ask() -> Names:
        with anyio.fail_after(_SECONDS):
            async with profile.connected(quiet=True) as client:
                return await fetch(client)

    try:
        fetched = anyio.run(ask)
    except Exception:
        if names is not None:
            return names  # outdated names are better than none
        raise
    _write_cache(cache, fetched)
    return fetched


def _cache_path(profile: Profile, what: str) -> Path:
    from platformdirs import user_cache_path

    who = [profile.base_url, profile.user, profile.name, profile.source, profile.token, profile.token_env, what]
    if profile.token_env is not None:
        who.append(os.environ.get(profile.token_env))
    key = hashlib.sha256(json.dumps([*who, *profile.token_command]).encode()).hexdigest()
    return user_cache_path("enapter-async", appauthor=False) / "completion" / f"{key}.json"


def _read_cache(path: Path) -> tuple[Names | None, float]:
    try:
        age = time.time() - path.stat().st_mtime
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None, 0.0
    return {str(name): str(about) for name, about in content.items()}, age


def _write_cache(path: Path, names: Names) -> None:
    """Store names in a file that only the user can read, like the token."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.touch(mode=0o600, exist_ok=False)
        with NewFile(path, temporary) as cache:
            cache.file.write(json.dumps(names).encode())
