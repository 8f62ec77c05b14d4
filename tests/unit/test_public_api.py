"""The public API: exported, documented, typed, and changed on purpose only.

`python tests/unit/test_public_api.py` rewrites tests/data/public_api.txt and the package's stub. A change of the former
belongs in the changelog.
"""

from __future__ import annotations

import ast
import enum
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import attrs
import pytest

import enapter_async
import enapter_async.blocking
import enapter_async.collector
import enapter_async.exporter
import enapter_async.integrations.virtual_time
import enapter_async.integrations.web
import enapter_async.rows
import enapter_async.simulator
from enapter_async import EnapterClient

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "data" / "public_api.txt"
STUB = ROOT / "enapter_async" / "__init__.pyi"
REFERENCE = ROOT / "docs" / "reference"
REGENERATE = "python tests/unit/test_public_api.py"

FACES = (
    enapter_async.blocking,
    enapter_async.collector,
    enapter_async.exporter,
    enapter_async.integrations.web,
    enapter_async.rows,
    enapter_async.simulator,
)
"""Modules whose names are public, besides the package itself."""

ANYTHING = ("simulator.",)
"""Where `Any` is allowed: the simulator's JSON stands for itself."""


class Member(NamedTuple):
    """A public function, method or property."""

    name: str
    value: Any

    @property
    def function(self) -> Any:
        value = self.value
        if isinstance(value, property):
            return value.fget
        return getattr(value, "func", None) or getattr(value, "__func__", value)


def exported() -> dict[str, Any]:
    return {name: getattr(enapter_async, name) for name in enapter_async.__all__}


def offered() -> dict[str, Any]:
    """The names that other modules offer, under the last part of the name of their module."""
    return {
        f"{face.__name__.rpartition('.')[2]}.{name}": getattr(face, name)
        for face in FACES
        for name in vars(face)["__all__"]
    }


def _documented() -> list[tuple[str, str]]:
    return [
        (page.name, found)
        for page in sorted(REFERENCE.rglob("*.md"))
        for found in re.findall(r"^::: (\S+)", page.read_text(), flags=re.MULTILINE)
    ]


def documented_alone() -> dict[str, Any]:
    """What pages of the reference name on its own, under the last part of the name of its module."""
    found: dict[str, Any] = {}
    for _, name in _documented():
        module, _, attribute = name.rpartition(".")
        if attribute[0].isupper():
            found[".".join(name.split(".")[-2:])] = getattr(importlib.import_module(module), attribute)
    return found


def services() -> dict[str, type]:
    """The services by their attribute of the client."""
    client = EnapterClient(token="secret")
    names = [name for name, value in inspect.getmembers_static(EnapterClient) if not name.startswith("_")]
    found = {name: type(getattr(client, name)) for name in names}
    return {
        name: cls
        for name, cls in found.items()
        if cls.__module__.startswith(("enapter_async.resources.", "enapter_async._catalogue"))
    }


@cache
def classes() -> dict[str, type]:
    public = {
        **exported(),
        **{cls.__name__: cls for cls in services().values()},
        **offered(),
        "virtual_time.VirtualTimeLoop": enapter_async.integrations.virtual_time.VirtualTimeLoop,
    }
    known = {value for value in public.values() if inspect.isclass(value)}
    public |= {
        name: value for name, value in documented_alone().items() if inspect.isclass(value) and value not in known
    }
    return {name: value for name, value in sorted(public.items()) if inspect.isclass(value)}


def functions() -> list[Member]:
    return [Member(name, value) for name, value in {**exported(), **offered()}.items() if inspect.isfunction(value)]


def is_protocol(cls: type) -> bool:
    return bool(getattr(cls, "_is_protocol", False))


def members(name: str, cls: type) -> Iterator[Member]:
    """Give the public methods and properties of a class, those that it inherits from what is not public too."""
    others = set(classes().values()) - {cls}
    ours = [base for base in reversed(cls.__mro__) if base.__module__.startswith("enapter_async")]
    homes = [base for base in ours if base not in others]
    found = {attribute: value for base in homes for attribute, value in vars(base).items()}
    for attribute, value in sorted(found.items()):
        if attribute.startswith("_") and attribute != "__init__":
            continue
        if attribute == "__init__" and (attrs.has(cls) or is_protocol(cls) or issubclass(cls, (enum.Enum, tuple))):
            continue  # the fields say it all; a protocol has none of its own
        method = isinstance(value, (property, classmethod, staticmethod)) or hasattr(value, "attrname")
        if method or inspect.isfunction(value):
            yield Member(f"{name}.{attribute}", value)


def all_members() -> list[Member]:
    return [*functions(), *(member for name, cls in classes().items() for member in members(name, cls))]


def public_api() -> str:
    """Describe the public API, one line each."""
    lines = [f"{name}{_signature(value)}" for name, value in functions()]
    known = classes()
    every = {**exported(), **offered()}
    lines += [name for name, value in every.items() if name not in known and not inspect.isfunction(value)]
    lines += [f"EnapterClient.{name}: {cls.__name__}" for name, cls in services().items()]
    for name, cls in known.items():
        bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
        lines.append(f"class {name}({bases})")
        if issubclass(cls, enum.Enum):
            lines += [f"{name}.{member.name} = {member.value!r}" for member in cls]
        if attrs.has(cls):
            lines += [_field(name, field) for field in attrs.fields(cls) if not field.name.startswith("_")]
        for member in members(name, cls):
            if isinstance(member.value, property) or hasattr(member.value, "attrname"):
                lines.append(f"{member.name}: {inspect.signature(member.function).return_annotation}")
            else:
                lines.append(f"{member.name}{_signature(member.function)}")
    return "\n".join(sorted(set(lines), key=lambda line: line.removeprefix("class "))) + "\n"


def _signature(function: Any) -> str:
    text = re.sub(r"<(built-in )?function .*?( at 0x[0-9a-f]+)?>(?=[,)])", "...", str(inspect.signature(function)))
    return re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,)= ]|$)", r"\1\3", text)


def _field(name: str, field: Any) -> str:
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", field.type)
    required = field.default is attrs.NOTHING and field.init
    return f"{name}.{field.name}: {kind}{'' if required else ' (optional)'}"


def test_every_exported_name_exists_once_in_order() -> None:
    assert len(set(enapter_async.__all__)) == len(enapter_async.__all__)
    assert set(enapter_async.__all__) <= set(dir(enapter_async))
    assert exported()


def test_type_checkers_see_the_names_that_exist() -> None:
    assert STUB.read_text() == face_stub(), f"run {REGENERATE}"


def test_changes_of_the_public_api_are_deliberate() -> None:
    stored = STORED.read_text().splitlines()
    now = public_api().splitlines()
    gone = [f"- {line}" for line in stored if line not in now]
    new = [f"+ {line}" for line in now if line not in stored]
    assert not gone + new, "\n".join(
        ["the public API has changed:", *gone, *new, f"if it is meant: {REGENERATE}, and a line in CHANGELOG.md"]
    )


@pytest.mark.parametrize("name", classes())
def test_every_public_class_is_documented(name: str) -> None:
    assert (classes()[name].__dict__.get("__doc__") or "").strip()


@pytest.mark.parametrize("member", all_members(), ids=lambda member: member.name)
def test_every_public_method_is_documented_and_typed(member: Member) -> None:
    if not member.name.endswith("__init__"):
        assert inspect.getdoc(member.function), "no docstring"
    signature = inspect.signature(member.function)
    for parameter in list(signature.parameters.values()):
        if parameter.name in ("self", "cls"):
            continue
        assert parameter.annotation is not parameter.empty, f"{parameter.name} has no type"
        assert member.name.startswith(ANYTHING) or not re.search(r"\bAny\b", str(parameter.annotation)), parameter.name
    assert signature.return_annotation is not signature.empty
    assert member.name.startswith(ANYTHING) or not re.search(r"\bAny\b", str(signature.return_annotation))


def _homes() -> dict[str, str]:
    """Return the module that defines each public name."""
    return dict(vars(enapter_async)["_HOMES"])


def face_stub() -> str:
    """Return what type checkers are told about the face of the package."""
    modules: dict[str, list[str]] = {}
    for name, module in _homes().items():
        modules.setdefault(module, []).append(name)
    imports = "".join(
        f"from {module} import (\n" + "".join(f"    {name} as {name},\n" for name in sorted(names)) + ")\n"
        for module, names in sorted(modules.items())
    )
    generated = f"# Generated by `{REGENERATE}` from the table in __init__.py.\n"
    return f"{generated}from typing import Final\n\n{imports}\n__version__: Final[str]\n"


def _has_text_below(module: ModuleType, name: str) -> bool:
    assert module.__file__
    for block in ast.walk(ast.parse(Path(module.__file__).read_text())):
        statements: list[ast.stmt] = getattr(block, "body", []) if not isinstance(block, ast.Lambda) else []
        for statement, text in zip(statements, [*statements[1:], None], strict=False):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    return False


@pytest.mark.parametrize(
    "name", [n for n, v in exported().items() if not inspect.isclass(v) and not inspect.isfunction(v)]
)
def test_aliases_and_constants_are_documented(name: str) -> None:
    if name == "__version__":
        return
    module = importlib.import_module(_homes()[name])
    assert _has_text_below(module, name), f"no text below {name} in {module.__name__}"


@pytest.mark.parametrize(("page", "name"), _documented())
def test_pages_of_the_reference_name_what_exists(page: str, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute), f"{page} names {name}"


def test_no_documentation_refers_to_what_readers_do_not_have() -> None:
    modules = {name if name in sys.modules else name.rpartition(".")[0] for _, name in _documented()}
    texts = {name: inspect.getdoc(sys.modules[name]) for name in modules}
    texts |= {name: inspect.getdoc(cls) for name, cls in classes().items()}
    texts |= {member.name: inspect.getdoc(member.function) for member in all_members()}
    assert not [name for name, text in texts.items() if re.search(r"reference\.md|DESIGN\.md", text or "")]


def _modules_with_a_face() -> list[str]:
    """Return the public modules that list their names in `__all__`. The command line is no library."""
    found = [module.name for module in pkgutil.walk_packages(enapter_async.__path__, "enapter_async.")]
    public = [name for name in found if not re.search(r"\._|\.cli\b|__main__", name)]
    return [name for name in public if hasattr(importlib.import_module(name), "__all__")]


def _homes_of(module: str) -> dict[str, str]:
    """Return the module that each name in `__all__` is imported from."""
    source = importlib.import_module(module)
    assert source.__file__
    package = module if source.__file__.endswith("__init__.py") else module.rpartition(".")[0]
    homes = {
        alias.asname or alias.name: importlib.util.resolve_name("." * block.level + (block.module or ""), package)
        for block in ast.walk(ast.parse(Path(source.__file__).read_text()))
        if isinstance(block, ast.ImportFrom)
        for alias in block.names
    }
    return {name: homes.get(name, module) for name in vars(source)["__all__"]}


def _undocumented(homes: Mapping[str, str], module: str) -> list[str]:
    """Return the names that no page of the reference renders, on their own or with a module."""
    listed = _listed_members()
    documented = {name for _, name in _documented() if name not in listed}
    documented |= {f"{package}.{name}" for package, names in listed.items() for name in names}
    return [
        f"{module}.{name}"
        for name, home in homes.items()
        if not {module, f"{module}.{name}", home, f"{home}.{name}"} & documented
    ]


def _listed_members() -> dict[str, list[str]]:
    """Return the members that pages choose from a package, whose other names they do not render."""
    text = "\n".join(page.read_text() for page in REFERENCE.rglob("*.md"))
    found = re.findall(r"^::: (\S+)\n +options:\n +members: \[(.*?)\]", text, flags=re.MULTILINE)
    return {package: names.split(", ") for package, names in found}


def test_every_public_name_is_in_the_reference() -> None:
    homes = {name: home for name, home in _homes().items() if name in enapter_async.__all__}
    assert _undocumented(homes, "enapter_async") == []


@pytest.mark.parametrize("module", _modules_with_a_face())
def test_the_reference_has_every_name_that_a_module_offers(module: str) -> None:
    assert _undocumented(_homes_of(module), module) == []


def test_a_module_without_an_underscore_has_something_public() -> None:
    documented = {name for _, name in _documented()}
    homes = {*_homes().values(), *documented, *(name.rpartition(".")[0] for name in documented)}
    for face in FACES:
        homes |= {face.__name__, *_homes_of(face.__name__).values()}
    found = [module for module in pkgutil.walk_packages(enapter_async.__path__, "enapter_async.") if not module.ispkg]
    public = {module.name for module in found if not re.search(r"\._|\.cli\b|__main__|\.pytest_plugin$", module.name)}
    # The client opens the Redis rate limit, which is in the room of what needs an extra.
    assert public - homes == {"enapter_async.integrations.redis_rate_limit"}


if __name__ == "__main__":
    STUB.write_text(face_stub())
    STORED.write_text(public_api())
    print(f"{STORED}: {len(public_api().splitlines())} lines")
