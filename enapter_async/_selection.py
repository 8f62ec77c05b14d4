"""Selection of devices and attributes by name, shared by collector and exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from enapter_async._arguments import refuse_argument, require_several
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.declarations import ValueDeclaration
from enapter_async.models.manifest import Manifest

Attributes: TypeAlias = "Literal['numeric', 'all'] | Sequence[str]"
"""All numeric attributes, all attributes, or attributes by name."""

_EVERY_DEVICE_HAS: Final = ("alerts", "alert_details")
"""Added by the platform; not in manifests (reference.md, Manifest)."""
_KINDS: Final = {"numeric": "numeric telemetry", "all": "telemetry"}
_MOST_NAMED: Final = 12


class _NamedDevice(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def slug(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...


D = TypeVar("D", bound=_NamedDevice)


def require_names(values: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return names without duplicates.

    Raises:
        InvalidArgumentError: The value is not a list of names.
    """
    if isinstance(values, str):
        raise refuse_argument(argument, "must be a list of names", values)
    names = require_several(values, argument)
    for name in names:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument(argument, "every one must be a name", name)
    return tuple(dict.fromkeys(names))


def require_attributes(values: str | Iterable[str]) -> Literal["numeric", "all"] | tuple[str, ...]:
    """Return a valid choice of attributes.

    Raises:
        InvalidArgumentError: The value is neither `numeric` nor `all` nor a list of names.
    """
    if isinstance(values, str):
        if values == "numeric":
            return "numeric"
        if values == "all":
            return "all"
        raise InvalidArgumentError("attributes", f'must be "numeric", "all" or a list of names, got {values!r}')
    names = require_names(values, "attributes")
    if not names:
        raise InvalidArgumentError("attributes", "must have at least one name")
    return names


def has_attribute(manifest: Manifest, name: str) -> bool:
    """Return whether a manifest has a telemetry attribute."""
    return name in manifest.telemetry or name in _EVERY_DEVICE_HAS


def choose_attributes(
    manifest: Manifest | None, attributes: Attributes, *, is_valid: Callable[[str], bool]
) -> tuple[dict[str, ValueDeclaration | None], list[str]]:
    """Choose attributes that a device has.

    Args:
        manifest: Manifest of the device. Without one, its attributes are unknown.
        attributes: The choice.
        is_valid: Checks whether a request can contain a name.

    Returns:
        Declarations by name, in the order of the choice or of the manifest, and the names that are invalid.
    """
    if manifest is None:
        return {}, []
    declared = manifest.telemetry
    if not isinstance(attributes, str):
        names = [name for name in attributes if has_attribute(manifest, name)]
    elif attributes == "all":
        names = [*declared, *(name for name in _EVERY_DEVICE_HAS if name not in declared)]
    else:
        names = list(manifest.numeric_telemetry())
    valid = {name: declared.get(name) for name in names if is_valid(name)}
    return valid, [name for name in names if name not in valid]


def find_named_device(devices: Iterable[D], name: str) -> D | None:
    """Return the device with a slug or a name, if any.

    The Cloud does not find a device by slug alone, and no server finds one by name.

    Raises:
        InvalidArgumentError: Several devices have that name.
    """
    matching = [one for one in devices if name == one.slug or name.casefold() == (one.name or "").casefold()]
    if len(matching) > 1:
        listing = list_names(one.id for one in matching)
        raise InvalidArgumentError("devices", f"{len(matching)} devices are called {name!r}: {listing}")
    return matching[0] if matching else None


def describe_attributes(attributes: Attributes) -> str:
    """Return a choice of attributes as text."""
    return _KINDS[attributes] if isinstance(attributes, str) else f"an attribute {list_names(attributes)}"


def list_names(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
