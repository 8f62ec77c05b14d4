"""The rules of the house, read from the source: arrows point down, and each library has its place."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parents[2] / "enapter_async"
MODULES: Final = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Each may import what stands in its own line or above it.
LEVELS: Final = [
    {"models", "errors", "simulator", "_arguments", "_duration", "_visible"},
    {"config", "hooks", "_files", "_host", "_pauses", "_selection", "rows"},
    {"_protocol"},
    {"response", "pagination"},
    {"_transport"},
    {"_session"},
    {"_streaming"},
    {"resources"},
    {"_catalogue"},
    {"integrations"},
    {"client"},
    {"__init__"},
    {"blocking", "collector", "exporter"},
    {"cli"},
    {"pytest_plugin"},
]
APART: Final = {"simulator", "pytest_plugin", "__main__"}
ABOVE_THE_CLIENT: Final = ("opentelemetry", "prometheus", "pytest_plugin")
"""Modules of `integrations` that use the client; the others (Redis, mDNS) are used by it."""

HOMES: Final = {
    # The client: to name the session that is injected. Metrics: a server, of a library that is there already.
    "aiohttp": ("_transport", "simulator", "client", "integrations.prometheus"),
    "asyncpg": ("collector.stores.postgres",),
    "prometheus_client": ("integrations.prometheus",),
    "tenacity": ("_transport.retry",),
    "cattrs": ("_protocol.decoding.converter", "cli.profiles"),
    "platformdirs": ("cli.completers", "cli.profiles"),
    "yarl": ("_transport", "simulator", "_host"),
    "orjson": ("_protocol.decoding.json_text",),
    "zeroconf": ("_transport.mdns",),
    "throttled": ("integrations.redis_rate_limit",),
    "redis": ("integrations.redis_rate_limit",),
    "opentelemetry": ("integrations.opentelemetry",),
    "rich": ("cli",),
    "rich_click": ("cli",),
    "click": ("cli",),
    "pyarrow": ("_protocol.timeseries.arrow", "collector.stores.parquet", "models.timeseries", "rows.parquet"),
    "pandas": ("models.timeseries",),
    "polars": ("models.timeseries",),
    "multidict": ("_transport",),
    "pytest": ("integrations",),
    "trustme": ("simulator._server.tls",),
    "yaml": ("simulator._server.manifests.manifest_file",),
}
ONCE: Final = {
    r"https://api\.enapter\.com": ("config",),
    r"create_default_context\(cafile|load_verify_locations": ("_files",),
    r"fcntl\.|msvcrt\.": ("_files",),
    r"os\.replace\(|(?i:temporary|partial)\.(replace|rename)\(": ("_files",),
    r"class \w+\(.*EventLoop\)": ("integrations.virtual_time",),
    r"enapter-async-cli": ("cli.profiles",),
    r"__anext__\(self\) -> T:\n        return await self\._\w+\(\)": ("_streaming.call_iterator",),
}
"""Things of which HOUSE.md wants one each: the Cloud's address, CA files, locks, files that appear when they are
complete, loops with a clock of their own, the name of the command in the User-Agent, and an iterator that calls."""
IMPURE: Final = {
    "aiohttp", "anyio", "asyncio", "concurrent", "http", "multiprocessing", "os", "selectors", "shutil", "signal",
    "socket", "ssl", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def walk_imports(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a module without its `TYPE_CHECKING` blocks; functions, and so lazy imports, are walked."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from walk_imports(child)


def imports(name: str, *, for_types: bool = True) -> Iterator[str]:
    """Yield the absolute name of everything that a module imports, wherever in it."""
    tree = parsed(name)
    for node in ast.walk(tree) if for_types else walk_imports(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
            base = parent[: len(parent) - node.level + 1] if node.level else []
            module = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in MODULES else module


@cache
def ours(name: str) -> frozenset[str]:
    """Return our own modules that a module imports; the face counts as a module of its own."""
    return frozenset(found for found in imports(name) if found.split(".")[0] == "enapter_async") - {name}


def part(name: str) -> str:
    """Return the part of the house that a module stands in."""
    return name.split(".")[1] if "." in name else "__init__"


def level(name: str) -> int:
    if part(name) == "integrations" and name.rpartition(".")[2] in ABOVE_THE_CLIENT:
        return len(LEVELS)
    found = [number for number, names in enumerate(LEVELS) if part(name) in names]
    assert found, f"{part(name)} has no place yet: put it into LEVELS"
    return found[0]


CLIENT_MODULES: Final = [name for name in MODULES if part(name) not in APART]


@pytest.mark.parametrize("name", [name for name in CLIENT_MODULES if part(name) != "cli"])
def test_arrows_point_down(name: str) -> None:
    # The face is imported by the client for its version only, when that is asked for.
    wrong = {found for found in ours(name) if level(found) > level(name) and found != "enapter_async"}
    assert not wrong


def test_only_the_client_asks_the_face_for_the_version() -> None:
    above = {"cli", "collector", "exporter", "rows", "integrations"}  # made of public names
    below = {name for name in CLIENT_MODULES if "enapter_async" in ours(name) and part(name) not in above}
    assert below <= {"enapter_async.client"}


def test_there_are_no_circles() -> None:
    """Lazy imports count, since a circle through one is a circle; those for type checkers do not.

    A method that converts to a dataframe when it is called is the one exception.
    """
    graph = {name: set(imports(name, for_types=False)) & set(MODULES) - {name, "enapter_async"} for name in MODULES}
    graph["enapter_async.models.timeseries"].discard("enapter_async.models._dataframes")
    assert tuple(TopologicalSorter(graph).static_order())


def test_nobody_imports_the_client_but_those_who_may() -> None:
    importers = {name for name in MODULES if "enapter_async.client" in ours(name)}
    assert {part(name) for name in importers} <= {"__init__", "blocking", "cli", "integrations"}


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_its_place(library: str) -> None:
    homes = tuple(f"enapter_async.{home}" for home in HOMES[library])
    users = {name for name in MODULES if library in {found.split(".")[0] for found in imports(name)}}
    assert all(name in homes or name.startswith(tuple(f"{home}." for home in homes)) for name in users), users


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "_protocol"])
def test_the_protocol_is_pure(name: str) -> None:
    assert not {found.split(".")[0] for found in imports(name)} & IMPURE


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "models"])
def test_models_are_nothing_but_models(name: str) -> None:
    assert {part(found) for found in ours(name)} <= {"models", "errors", "_arguments", "_duration", "_visible"}


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "simulator"])
def test_the_simulator_knows_nothing_of_the_client(name: str) -> None:
    assert {part(found) for found in ours(name)} <= {"simulator"}


@pytest.mark.parametrize("name", [name for name in MODULES if "simulator._server.world" in name])
def test_the_world_of_the_simulator_knows_no_server(name: str) -> None:
    above = ("exchange", "resources", "control", "server", "simulator")
    assert not {found for found in ours(name) if found.split(".")[3:4] and found.split(".")[3] in above}


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "cli"])
def test_the_command_uses_public_names_only(name: str) -> None:
    public = {"__init__", "collector", "exporter", "integrations", "models", "rows", "simulator"}
    helpers = {"_arguments", "_duration", "_files", "_pauses", "_visible"}  # what any program would write itself
    assert {part(found) for found in ours(name)} <= public | helpers | {"cli"}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) != "cli"])
def test_what_is_not_public_has_an_underscore(name: str) -> None:
    """A module without one is a face, or defines names that a face exports. The command is a program, not a library."""
    path = MODULES[name]
    if any(step.startswith("_") and step != "__init__" for step in name.split(".")[1:]) or path.name == "__init__.py":
        return
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in parsed(name).body):
        return  # an alias
    public = {
        node.name
        for node in parsed(name).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    }
    public |= {target.id for node in parsed(name).body if isinstance(node, (ast.Assign, ast.AnnAssign))
               for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
               if isinstance(target, ast.Name)}  # fmt: skip
    assert any(not found.startswith("_") for found in public), f"{name} defines nothing public: give it an underscore"


def test_inner_modules_stay_in_their_room() -> None:
    """A module with an underscore inside a room is imported in this room only; others import the room's public face."""
    found = set()
    for name in MODULES:
        for imported in ours(name):
            steps = imported.split(".")
            rooms = [".".join(steps[:number]) for number, step in enumerate(steps) if number > 1 and step[0] == "_"]
            if any(name != room and not name.startswith(f"{room}.") for room in rooms):
                found.add((name.partition(".")[2], imported.partition(".")[2]))
    assert found == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_private_names_of_another(name: str) -> None:
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("enapter_async"):
            private = {one.name for one in node.names if one.name.startswith("_") and not one.name.startswith("__")}
            assert {one for one in private if f"{node.module}.{one}" not in MODULES} == set()


@pytest.mark.parametrize("pattern", ONCE)
def test_a_thing_is_written_once(pattern: str) -> None:
    homes = {
        name.partition(".")[2]
        for name, path in MODULES.items()
        if part(name) != "simulator" and re.search(pattern, path.read_text(encoding="utf-8"))  # shares nothing
    }
    assert homes == set(ONCE[pattern])


def test_no_library_is_without_a_place() -> None:
    """The libraries that everything is built on are free; each other one has a home."""
    free = {"anyio", "attrs", "enapter_async", *sys.stdlib_module_names}
    used = {found.split(".")[0] for name in MODULES for found in imports(name)}
    assert used - free == set(HOMES)
