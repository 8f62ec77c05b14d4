"""The manifest of a blueprint: telemetry, properties, configuration, commands and alerts of a device.

Many people write manifests, and one bad entry must not make a device unusable. An entry that is not an object is left
out, and a field of a wrong type gets its default. All such problems are listed in `Manifest.problems` and logged once
per manifest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

import attrs

from enapter_async.models._declaration_reader import (
    Entry,
    read_alert,
    read_command,
    read_configuration_group,
    read_value,
)
from enapter_async.models.common import JSON
from enapter_async.models.declarations import (
    AlertDeclaration,
    CommandDeclaration,
    ConfigurationGroup,
    ManifestProblem,
    ValueDeclaration,
)

_log: Final = logging.getLogger(__name__)

D = TypeVar("D")


_Section: TypeAlias = tuple[Mapping[str, D], tuple[ManifestProblem, ...]]


@attrs.frozen(repr=False, weakref_slot=False)
class Manifest:
    """The manifest of a blueprint. Sections are parsed on first use.

    Use `numeric_telemetry()` to find all numeric telemetry attributes of a device, with their units. Threads can
    share a manifest: at worst a section is parsed twice, with equal results. A pickle contains `raw`.

    Attributes:
        raw: The original manifest. Do not change it.
    """

    raw: dict[str, JSON] = attrs.field(hash=False)

    @property
    def blueprint_spec(self) -> str | None:
        """Version of the format, such as `device/3.0`."""
        return self._text("blueprint_spec")

    @property
    def display_name(self) -> str | None:
        """Display name."""
        return self._text("display_name")

    @property
    def description(self) -> str | None:
        """Description."""
        return self._text("description")

    @property
    def vendor(self) -> str | None:
        """Manufacturer of the equipment."""
        return self._text("vendor")

    @property
    def icon(self) -> str | None:
        """Icon for user interfaces."""
        return self._text("icon")

    @property
    def category(self) -> str | None:
        """Kind of equipment."""
        return self._text("category")

    @property
    def implements(self) -> tuple[str, ...]:
        """Profiles that the device implements."""
        return Entry("", self.raw, []).texts("implements")

    @cached_property
    def _properties(self) -> _Section[ValueDeclaration]:
        return self._section("properties", read_value)

    @cached_property
    def _telemetry(self) -> _Section[ValueDeclaration]:
        return self._section("telemetry", read_value)

    @cached_property
    def _alerts(self) -> _Section[AlertDeclaration]:
        return self._section("alerts", read_alert)

    @cached_property
    def _commands(self) -> _Section[CommandDeclaration]:
        return self._section("commands", read_command)

    @cached_property
    def _configuration(self) -> _Section[ConfigurationGroup]:
        return self._section("configuration", read_configuration_group)

    @property
    def properties(self) -> Mapping[str, ValueDeclaration]:
        """Properties by name."""
        return self._properties[0]

    @property
    def telemetry(self) -> Mapping[str, ValueDeclaration]:
        """Telemetry attributes by name. `alerts` and `alert_details` exist even if they are not declared."""
        return self._telemetry[0]

    @property
    def alerts(self) -> Mapping[str, AlertDeclaration]:
        """Alerts by name."""
        return self._alerts[0]

    @property
    def commands(self) -> Mapping[str, CommandDeclaration]:
        """Commands by name."""
        return self._commands[0]

    @property
    def configuration(self) -> Mapping[str, ConfigurationGroup]:
        """Configuration groups by name."""
        return self._configuration[0]

    @property
    def problems(self) -> tuple[ManifestProblem, ...]:
        """Everything in the typed sections that does not match the documentation. Parses all sections."""
        return self._properties[1] + self._telemetry[1] + self._alerts[1] + self._commands[1] + self._configuration[1]

    def numeric_telemetry(self) -> dict[str, ValueDeclaration]:
        """Return the telemetry attributes with numeric values, by name. Each has its `unit`."""
        return {name: one for name, one in self.telemetry.items() if one.is_numeric}

    def alert(self, name: str) -> AlertDeclaration:
        """Return the declaration of an active alert.

        An undeclared alert counts as an error, with its name as display name.
        """
        return self.alerts.get(name) or AlertDeclaration(name=name, display_name=name)

    def __repr__(self) -> str:
        return f"Manifest({self.display_name!r})"

    def _text(self, name: str) -> str | None:
        value = self.raw.get(name)
        return value if isinstance(value, str) else None

    def _section(self, name: str, read: Callable[[str, Entry], D]) -> _Section[D]:
        problems: list[ManifestProblem] = []
        declarations = Entry("", self.raw, problems).declarations(name, read)
        if problems:
            _log.warning("manifest %r: %s", self.display_name, "; ".join(map(str, problems)))
        return MappingProxyType(declarations), tuple(problems)
