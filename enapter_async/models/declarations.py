"""Declarations in a manifest.

Display names default to the key of the entry. Fields of an unexpected type have their default here, and are listed in
`Manifest.problems`. `Manifest.raw` has the original values.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from enapter_async._visible import make_visible
from enapter_async.models.common import JSON, NO_EXTRA, AccessRole, OpenEnum, OrderedEnum


class ValueType(OpenEnum):
    """Type of a value that a manifest declares."""

    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    ARRAY_OF_STRINGS = "array_of_strings"
    JSON = "json"
    ALERTS = "alerts"
    OBJECT = "object"

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self in (ValueType.INTEGER, ValueType.FLOAT)


class AlertSeverity(OrderedEnum):
    """Severity of an alert, lowest first. See `OrderedEnum` for unknown severities."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen(kw_only=True, weakref_slot=False)
class EnumValue:
    """One of the values that a declaration allows.

    Attributes:
        value: The allowed value. A number for numeric types, even if the manifest has it as the key of a map, which
            is always text.
        display_name: Display name. The default is the value as text.
        description: Description.
        color: Colour for user interfaces.
    """

    value: str | float | bool
    display_name: str
    description: str | None = None
    color: str | None = None


@attrs.frozen(kw_only=True, weakref_slot=False)
class ValueDeclaration:
    """A property or a telemetry attribute.

    Attributes:
        name: Key in the manifest.
        type: Type of the values, if declared.
        display_name: Display name.
        description: Description.
        unit: Unit of the values.
        enum: Allowed values. None allows any value.
        implements: Names that it implements from profiles.
        aliases: Other names.
        auto_scale: Units that user interfaces can scale to.
        json_schema: Schema of values of type JSON, as text.
        access_level: Lowest role that may read it.
        extra: Fields that this version does not know.
    """

    name: str
    type: ValueType | None = None
    display_name: str = ""
    description: str | None = None
    unit: str | None = None
    enum: tuple[EnumValue, ...] | None = None
    implements: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    auto_scale: tuple[str, ...] = ()
    json_schema: str | None = None
    access_level: AccessRole = AccessRole.READONLY
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self.type is not None and self.type.is_numeric


@attrs.frozen(kw_only=True, weakref_slot=False)
class AlertDeclaration:
    """An alert that a device can raise.

    Attributes:
        name: Key in the manifest.
        severity: Severity.
        display_name: Display name.
        code: Code of the manufacturer.
        grace_period: How long the cause must last before the alert is raised.
        description: Description.
        troubleshooting: Steps that may help.
        telemetry: Related telemetry attributes.
        components: Affected components.
        conditions: Conditions under which it is raised.
        extra: Fields that this version does not know.
    """

    name: str
    severity: AlertSeverity = AlertSeverity.ERROR
    display_name: str = ""
    code: str | None = None
    grace_period: timedelta | None = None
    description: str | None = None
    troubleshooting: tuple[str, ...] = ()
    telemetry: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class ArgumentDeclaration:
    """An argument of a command, or a parameter of a configuration group.

    Attributes:
        name: Key in the manifest.
        type: Type of the value, if declared.
        display_name: Display name.
        description: Description.
        required: Whether a value is required.
        min: Smallest allowed number.
        max: Largest allowed number.
        enum: Allowed values. None allows any value.
        format: Display format for user interfaces.
        default: Default value.
        sensitive: Whether the value is a secret.
        json_schema: Schema of values of type JSON, as text.
        extra: Fields that this version does not know.
    """

    name: str
    type: ValueType | None = None
    display_name: str = ""
    description: str | None = None
    required: bool = False
    min: float | None = None
    max: float | None = None
    enum: tuple[EnumValue, ...] | None = None
    format: str | None = None
    default: JSON = attrs.field(default=None, hash=False)
    sensitive: bool = False
    json_schema: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Confirmation:
    """Confirmation that a user interface should request before it sends a command. The API does not enforce it.

    Attributes:
        severity: Severity.
        title: Short question.
        description: Full question.
        extra: Fields that this version does not know.
    """

    severity: AlertSeverity | None = None
    title: str | None = None
    description: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandDeclaration:
    """A command that a device supports.

    Attributes:
        name: Key in the manifest.
        display_name: Display name.
        group: Key of the command group.
        description: Description.
        arguments: Arguments by name.
        response: Response, as declared.
        confirmation: Confirmation to request before sending.
        populate_values_command: Command that returns initial values for the arguments.
        implements: Names that it implements from profiles.
        aliases: Other names.
        ui: Hints for user interfaces, as declared.
        access_level: Lowest role that may send it.
        read_access_level: Lowest role that may see its executions.
        extra: Fields that this version does not know.
    """

    name: str
    display_name: str = ""
    group: str | None = None
    description: str | None = None
    arguments: dict[str, ArgumentDeclaration] = attrs.field(factory=dict[str, ArgumentDeclaration], hash=False)
    response: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    confirmation: Confirmation | None = None
    populate_values_command: str | None = None
    implements: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ui: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    access_level: AccessRole = AccessRole.USER
    read_access_level: AccessRole = AccessRole.USER
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class ConfigurationGroup:
    """A group of configuration parameters that are read and written together.

    Attributes:
        name: Key in the manifest.
        display_name: Display name.
        description: Description.
        parameters: Parameters by name.
        ui: Hints for user interfaces, as declared.
        access_level: Lowest role that may read and write it.
        extra: Fields that this version does not know.
    """

    name: str
    display_name: str = ""
    description: str | None = None
    parameters: dict[str, ArgumentDeclaration] = attrs.field(factory=dict[str, ArgumentDeclaration], hash=False)
    ui: dict[str, JSON] | None = attrs.field(default=None, hash=False)
    access_level: AccessRole = AccessRole.USER
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(weakref_slot=False)
class ManifestProblem:
    """A part of a manifest that does not match the documentation.

    Attributes:
        path: Position in the manifest, such as `telemetry.power.unit`.
        message: Description of the problem.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return make_visible(f"{self.path}: {self.message}")
