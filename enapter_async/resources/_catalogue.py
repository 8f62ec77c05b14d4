"""All services by name. Each is imported when first used: programs use few, and importing all costs 50 ms."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from enapter_async._session import RawSession, Session
    from enapter_async.resources.blueprints import Blueprints, RawBlueprints
    from enapter_async.resources.commands import Commands, RawCommands
    from enapter_async.resources.configuration import Configuration, RawConfiguration
    from enapter_async.resources.devices import Devices, RawDevices
    from enapter_async.resources.logs import Logs
    from enapter_async.resources.properties import Properties, RawProperties
    from enapter_async.resources.provisioning import Provisioning, RawProvisioning
    from enapter_async.resources.rule_engine import RawRuleEngines, RuleEngines
    from enapter_async.resources.rules import RawRules, Rules
    from enapter_async.resources.sites import RawSites, Sites
    from enapter_async.resources.streams import Streams
    from enapter_async.resources.telemetry import RawTelemetry, Telemetry

T = TypeVar("T")


class _resource(cached_property[T]):  # noqa: N801 - a decorator
    """A cached property that is its value's class where the class of services is asked: `create_autospec` does so."""

    if not TYPE_CHECKING:

        def __get__(self, instance: Services | None, owner: type | None = None) -> object:
            if instance is None:
                return type(self.func(_NOBODY))
            return super().__get__(instance, owner)


class Services:
    """The services of a client."""

    _session: Session

    @_resource
    def sites(self) -> Sites:
        """Sites: where devices stand."""
        from enapter_async.resources.sites import Sites

        return Sites(self._session)

    @_resource
    def devices(self) -> Devices:
        """Devices, and what they are."""
        from enapter_async.resources.devices import Devices

        return Devices(self._session)

    @_resource
    def commands(self) -> Commands:
        """Commands: what devices are told to do."""
        from enapter_async.resources.commands import Commands

        return Commands(self._session)

    @_resource
    def properties(self) -> Properties:
        """Properties that devices reported."""
        from enapter_async.resources.properties import Properties

        return Properties(self._session)

    @_resource
    def configuration(self) -> Configuration:
        """Configuration of devices, by group."""
        from enapter_async.resources.configuration import Configuration

        return Configuration(self._session)

    @_resource
    def logs(self) -> Logs:
        """Logs of devices, listed or followed."""
        from enapter_async.resources.logs import Logs

        return Logs(self._session)

    @_resource
    def telemetry(self) -> Telemetry:
        """Telemetry: latest values, history, and live."""
        from enapter_async.resources.telemetry import Telemetry

        return Telemetry(self._session)

    @_resource
    def streams(self) -> Streams:
        """Everything that chosen devices send, live."""
        from enapter_async.resources.streams import Streams

        return Streams(self._session)

    @_resource
    def provisioning(self) -> Provisioning:
        """New devices."""
        from enapter_async.resources.provisioning import Provisioning

        return Provisioning(self._session)

    @_resource
    def blueprints(self) -> Blueprints:
        """Blueprints: what kinds of devices there are."""
        from enapter_async.resources.blueprints import Blueprints

        return Blueprints(self._session)

    @_resource
    def rule_engine(self) -> RuleEngines:
        """The rule engine of a site."""
        from enapter_async.resources.rule_engine import RuleEngines

        return RuleEngines(self._session)

    @_resource
    def rules(self) -> Rules:
        """Rules of a site."""
        from enapter_async.resources.rules import Rules

        return Rules(self._session)


_NOBODY: Final = cast("Services", SimpleNamespace(_session=None))


class RawServices:
    """The services of a client whose methods return a `Response`: those that are one request."""

    def __init__(self, session: RawSession) -> None:
        self._session = session

    @cached_property
    def sites(self) -> RawSites:
        """Sites: where devices stand."""
        from enapter_async.resources.sites import RawSites

        return RawSites(self._session)

    @cached_property
    def devices(self) -> RawDevices:
        """Devices, and what they are."""
        from enapter_async.resources.devices import RawDevices

        return RawDevices(self._session)

    @cached_property
    def commands(self) -> RawCommands:
        """Commands: what devices are told to do."""
        from enapter_async.resources.commands import RawCommands

        return RawCommands(self._session)

    @cached_property
    def properties(self) -> RawProperties:
        """Properties that devices reported."""
        from enapter_async.resources.properties import RawProperties

        return RawProperties(self._session)

    @cached_property
    def configuration(self) -> RawConfiguration:
        """Configuration of devices, by group."""
        from enapter_async.resources.configuration import RawConfiguration

        return RawConfiguration(self._session)

    @cached_property
    def telemetry(self) -> RawTelemetry:
        """Telemetry: latest values, history, and live."""
        from enapter_async.resources.telemetry import RawTelemetry

        return RawTelemetry(self._session)

    @cached_property
    def provisioning(self) -> RawProvisioning:
        """New devices."""
        from enapter_async.resources.provisioning import RawProvisioning

        return RawProvisioning(self._session)

    @cached_property
    def blueprints(self) -> RawBlueprints:
        """Blueprints: what kinds of devices there are."""
        from enapter_async.resources.blueprints import RawBlueprints

        return RawBlueprints(self._session)

    @cached_property
    def rule_engine(self) -> RawRuleEngines:
        """The rule engine of a site."""
        from enapter_async.resources.rule_engine import RawRuleEngines

        return RawRuleEngines(self._session)

    @cached_property
    def rules(self) -> RawRules:
        """Rules of a site."""
        from enapter_async.resources.rules import RawRules

        return RawRules(self._session)
