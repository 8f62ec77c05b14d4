"""Rules and their scripts."""

from __future__ import annotations

from datetime import timedelta

import attrs

from enapter_async._arguments import refuse_argument
from enapter_async._duration import to_timedelta
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import JSON, NO_EXTRA, Duration, OpenEnum


class RuntimeVersion(OpenEnum):
    """Runtime of a rule's script. V1 calls the script at an interval, V3 runs it once."""

    V1 = "V1"
    V3 = "V3"


class RuleState(OpenEnum):
    """Whether a rule runs."""

    STARTED = "STARTED"
    STOPPED = "STOPPED"


def _runtime_version(value: RuntimeVersion | str) -> RuntimeVersion:
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("runtime_version", "must be a string such as 'V3'", value)
    return RuntimeVersion(value)


def _code(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise refuse_argument(attribute.name, "must be a string", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgumentError(attribute.name, "must be encodable as UTF-8: it contains a lone surrogate") from None


def _exec_interval(value: Duration | None) -> timedelta | None:
    return None if value is None else to_timedelta(value, "exec_interval")


@attrs.frozen(kw_only=True, weakref_slot=False)
class RuleScript:
    """The program of a rule, to read or to set it.

    Attributes:
        code: Lua source code as text. The SDK encodes it in base64 for the API.
        runtime_version: Runtime of the script.
        exec_interval: Interval at which V1 calls the script: a timedelta or a number of seconds. V3 has none.
        extra: Fields that this version does not know. They are not sent.

    Raises:
        InvalidArgumentError: V1 has no interval, V3 has one, or an argument has a wrong type.
    """

    code: str = attrs.field(validator=_code)
    runtime_version: RuntimeVersion = attrs.field(default=RuntimeVersion.V3, converter=_runtime_version)
    exec_interval: timedelta | None = attrs.field(default=None, converter=_exec_interval)
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)

    def __attrs_post_init__(self) -> None:
        interval = self.exec_interval
        if self.runtime_version is RuntimeVersion.V1 and not interval:
            raise InvalidArgumentError("exec_interval", "is required with runtime_version V1")
        # Zero means none: a first-party client sends it, and its rules are returned with it.
        if self.runtime_version is RuntimeVersion.V3 and interval:
            raise InvalidArgumentError("exec_interval", "is valid only with runtime_version V1")


@attrs.frozen(kw_only=True, weakref_slot=False)
class Rule:
    """A rule of a site.

    Attributes:
        id: Identifier.
        slug: Short name, which can be used instead of the identifier.
        disabled: Whether the rule is disabled.
        state: Whether the rule runs.
        script: Program of the rule.
        extra: Fields that this version does not know.
    """

    id: str
    slug: str = ""
    disabled: bool | None = None
    state: RuleState | None = None
    script: RuleScript | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, hash=False)
