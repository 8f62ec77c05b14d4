"""Runs async fixtures in the event loop of the test, with either plugin.

Each fixture exists in several variants, one for anyio and one for each loop scope of pytest-asyncio. The fixture with
the public name is synchronous and requests the variant that belongs to the test.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeAlias

import pytest

from enapter_async.integrations._pytest_markers import is_async

FixtureFunction: TypeAlias = Callable[..., AsyncIterator[Any]]

_NAMES: Final = {"enapter_simulator", "enapter_client"}
_LOOP_SCOPES: Final = ("function", "class", "module", "package", "session")


def register_variants(config: pytest.Config, makers: Mapping[str, Callable[[], FixtureFunction]]) -> None:
    """Register the variants of async fixtures.

    Args:
        config: Configuration of the test run.
        makers: For each fixture, a function that returns a new copy of it, since pytest-asyncio modifies it.
    """
    variants = ModuleType("enapter_async_fixtures")
    for name, make in makers.items():
        variant = _name_variant(name, "anyio")
        setattr(variants, variant, pytest.fixture(make(), name=variant))
        if _default_loop_scope(config) is not None:
            asyncio_fixture = import_module("pytest_asyncio").fixture
            for scope in _LOOP_SCOPES:
                variant = _name_variant(name, scope)
                setattr(variants, variant, asyncio_fixture(make(), loop_scope=scope, name=variant))
    config.pluginmanager.register(variants, variants.__name__)


def request_variant(request: pytest.FixtureRequest, name: str) -> Any:
    """Set up the variant of a fixture that belongs to the loop of the test, and return its value."""
    item: pytest.Item = request.node
    problem = _find_problem(item, name)
    if problem is not None:
        pytest.fail(problem, pytrace=False)
    runner = "anyio" if _is_run_by_anyio(item) else _find_loop_scope(item)
    return request.getfixturevalue(_name_variant(name, runner))


def _name_variant(name: str, runner: str) -> str:
    return f"_{name}_{runner}"


def _find_problem(item: pytest.Item, name: str) -> str | None:
    """Return why a test cannot use an async fixture, or None if it can."""
    by_anyio, by_asyncio = _is_run_by_anyio(item), _is_run_by_asyncio(item)
    if by_anyio and by_asyncio:
        remedy = 'set asyncio_mode = "strict"' if _is_auto(item.config) else "remove the asyncio marker"
        return (
            f"two plugins would run {item.name}, anyio and pytest-asyncio: "
            f"remove @pytest.mark.anyio (or the fixture anyio_backend), or {remedy}"
        )
    if not is_async(item):
        problem = _find_problem_of_def(item, name, by_anyio=by_anyio)
        if problem is not None:
            return problem
    elif not by_anyio and not by_asyncio:
        return f"no plugin runs the async test {item.name}: mark it with @pytest.mark.anyio" + (
            " or @pytest.mark.asyncio" if _has_asyncio(item.config) else ""
        )
    if not by_anyio and _default_loop_scope(item.config) is None:
        return "the fixtures of enapter_async need pytest-asyncio 1.0 or newer, or @pytest.mark.anyio"
    return None


def _find_problem_of_def(item: pytest.Item, name: str, *, by_anyio: bool) -> str | None:
    """Return why a test that is not async cannot use an async fixture, or None if it can."""
    if taken := _parameters(item) & _NAMES:
        return (
            f"{item.name} is a def test without an event loop, but {min(taken)} needs one: "
            "use enapter_simulator_sync, or make the test async"
        )
    if not by_anyio and not _has_asyncio(item.config):
        return f"{name} needs a plugin that runs async fixtures: request anyio_backend as well"
    return None


def _parameters(item: pytest.Item) -> set[str]:
    return set(inspect.signature(item.obj).parameters) if isinstance(item, pytest.Function) else set()


def _is_run_by_anyio(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "anyio_backend" in item.fixturenames


def _is_run_by_asyncio(item: pytest.Item) -> bool:
    # In its auto mode, pytest-asyncio marks every async test when it is collected.
    return _has_asyncio(item.config) and is_async(item) and item.get_closest_marker("asyncio") is not None


def _has_asyncio(config: pytest.Config) -> bool:
    # Do not look it up by name, which depends on how the plugin was loaded.
    plugin = sys.modules.get("pytest_asyncio.plugin")
    return plugin is not None and config.pluginmanager.is_registered(plugin)


def _is_auto(config: pytest.Config) -> bool:
    return "auto" in (config.getoption("asyncio_mode", None), config.getini("asyncio_mode"))


def _find_loop_scope(item: pytest.Item) -> str:
    """Return the scope of the loop in which pytest-asyncio runs a test."""
    marker = item.get_closest_marker("asyncio")
    options: Mapping[str, Any] = {} if marker is None else marker.kwargs
    return options.get("loop_scope") or options.get("scope") or _default_loop_scope(item.config) or "function"


def _default_loop_scope(config: pytest.Config) -> str | None:
    """Return the loop scope of tests without a marker, or None without pytest-asyncio or with an old version."""
    if not _has_asyncio(config):
        return None
    try:
        scope: str = config.getini("asyncio_default_test_loop_scope")
    except (KeyError, ValueError):
        return None
    return scope
