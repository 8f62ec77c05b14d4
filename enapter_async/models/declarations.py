"""What a manifest declares, entry by entry.

Names fall back to the key that they are declared under. Fields of another type than documented have their
default here and are listed in `Manifest.problems`; the manifest's `raw` has them as they came.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from enapter_async.models.common import JSON, NO_EXTRA, AccessRole, OpenEnum, OrderedEnum
from enapter_async.models.visible import make_visible


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
    """How much an alert matters, lowest first; see `OrderedEnum` for severities that are not known."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen(kw_only=True, weakref_slot=False)
class EnumValue:
    """One of the values that a declaration allows.

    Attributes:
        value: The value itself. A number for declarations of numeric types, also where the manifest has it as
            the key of a map, which is always text.
        display_name: Name for people; the value as text where there is none.
        description: Longer text.
        color: Color for user interfaces.
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
        type: Type of the values; None when the manifest does not say.
        display_name: Name for people.
        description: Longer text.
        unit: Unit of the values.
        enum: Values that are allowed; None when any is.
        implements: Names in the profiles that this implements.
        aliases: Other names.
        auto_scale: Units that user interfaces may scale to.
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
    """An alert that a device may raise.

    Attributes:
        name: Key in the manifest.
        severity: How much it matters.
        display_name: Name for people.
        code: Code of the equipment's maker.
        grace_period: How long the cause has to last before the alert is raised.
        description: Longer text.
        troubleshooting: Steps that may help.
        telemetry: Telemetry attributes to look at.
        components: Components that it is about.
        conditions: When it is raised.
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
        type: Type of the value; None when the manifest does not say.
        display_name: Name for people.
        description: Longer text.
        required: Whether it has to be given.
        min: Smallest number that is allowed.
        max: Largest number that is allowed.
        enum: Values that are allowed; None when any is.
        format: How user interfaces show it.
        default: Value that it has when it is not given.
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
    """What a user interface should ask before it sends a command; the API does not enforce it.

    Attributes:
        severity: How much it matters.
        title: Question in short.
        description: Question in full.
        extra: Fields that this version does not know.
    """

    severity: AlertSeverity | None = None
    title: str | None = None
    description: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class CommandDeclaration:
    """A command that a device understands.

    Attributes:
        name: Key in the manifest.
        display_name: Name for people.
        group: Key of its command group.
        description: Longer text.
        arguments: Its arguments, by name.
        response: What it answers, as declared.
        confirmation: What to ask before it is sent.
        populate_values_command: Command that gives values to start from.
        implements: Names in the profiles that this implements.
        aliases: Other names.
        ui: Advice for user interfaces, as declared.
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
    """A group of configuration parameters, which are read and written together.

    Attributes:
        name: Key in the manifest.
        display_name: Name for people.
        description: Longer text.
        parameters: Its parameters, by name.
        ui: Advice for user interfaces, as declared.
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
    """Something in a manifest that is not as documented.

    Attributes:
        path: Where, such as `telemetry.power.unit`.
        message: What is wrong.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return make_visible(f"{self.path}: {self.message}")
