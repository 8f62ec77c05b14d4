"""All services by name. Each is imported on first use, since importing all of them takes 50 ms."""

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


class resource(cached_property[T]):  # noqa: N801 - a decorator
    """A cached property that returns the class of its value if accessed on the class, as `create_autospec` does."""

    if not TYPE_CHECKING:

        def __get__(self, instance: object, owner: type | None = None) -> object:
            if instance is None:
                return type(self.func(_NOBODY))
            return super().__get__(instance, owner)


class Services:
    """The services of a client."""

    _session: Session

    @resource
    def sites(self) -> Sites:
        """Sites, the places with devices."""
        from enapter_async.resources.sites import Sites

        return Sites(self._session)

    @resource
    def devices(self) -> Devices:
        """Devices and their manifests."""
        from enapter_async.resources.devices import Devices

        return Devices(self._session)

    @resource
    def commands(self) -> Commands:
        """Commands of devices and their executions."""
        from enapter_async.resources.commands import Commands

        return Commands(self._session)

    @resource
    def properties(self) -> Properties:
        """Properties that devices report."""
        from enapter_async.resources.properties import Properties

        return Properties(self._session)

    @resource
    def configuration(self) -> Configuration:
        """Configuration of devices, in groups."""
        from enapter_async.resources.configuration import Configuration

        return Configuration(self._session)

    @resource
    def logs(self) -> Logs:
        """Logs of devices, listed or followed."""
        from enapter_async.resources.logs import Logs

        return Logs(self._session)

    @resource
    def telemetry(self) -> Telemetry:
        """Telemetry: latest values, history and live values."""
        from enapter_async.resources.telemetry import Telemetry

        return Telemetry(self._session)

    @resource
    def streams(self) -> Streams:
        """Live streams of everything that selected devices send."""
        from enapter_async.resources.streams import Streams

        return Streams(self._session)

    @resource
    def provisioning(self) -> Provisioning:
        """New devices."""
        from enapter_async.resources.provisioning import Provisioning

        return Provisioning(self._session)

    @resource
    def blueprints(self) -> Blueprints:
        """Blueprints, which describe devices to the platform."""
        from enapter_async.resources.blueprints import Blueprints

        return Blueprints(self._session)

    @resource
    def rule_engine(self) -> RuleEngines:
        """The rule engine of a site."""
        from enapter_async.resources.rule_engine import RuleEngines

        return RuleEngines(self._session)

    @resource
    def rules(self) -> Rules:
        """Rules of a site."""
        from enapter_async.resources.rules import Rules

        return Rules(self._session)


_NOBODY: Final = cast("Services", SimpleNamespace(_session=SimpleNamespace(raw=lambda: None)))


class RawServices:
    """The services whose methods return a `Response`. Only methods that send one request are available."""

    def __init__(self, session: RawSession) -> None:
        self._session = session

    @resource
    def sites(self) -> RawSites:
        """Sites, the places with devices."""
        from enapter_async.resources.sites import RawSites

        return RawSites(self._session)

    @resource
    def devices(self) -> RawDevices:
        """Devices and their manifests."""
        from enapter_async.resources.devices import RawDevices

        return RawDevices(self._session)

    @resource
    def commands(self) -> RawCommands:
        """Commands of devices and their executions."""
        from enapter_async.resources.commands import RawCommands

        return RawCommands(self._session)

    @resource
    def properties(self) -> RawProperties:
        """Properties that devices report."""
        from enapter_async.resources.properties import RawProperties

        return RawProperties(self._session)

    @resource
    def configuration(self) -> RawConfiguration:
        """Configuration of devices, in groups."""
        from enapter_async.resources.configuration import RawConfiguration

        return RawConfiguration(self._session)

    @resource
    def telemetry(self) -> RawTelemetry:
        """Telemetry: latest values, history and live values."""
        from enapter_async.resources.telemetry import RawTelemetry

        return RawTelemetry(self._session)

    @resource
    def provisioning(self) -> RawProvisioning:
        """New devices."""
        from enapter_async.resources.provisioning import RawProvisioning

        return RawProvisioning(self._session)

    @resource
    def blueprints(self) -> RawBlueprints:
        """Blueprints, which describe devices to the platform."""
        from enapter_async.resources.blueprints import RawBlueprints

        return RawBlueprints(self._session)

    @resource
    def rule_engine(self) -> RawRuleEngines:
        """The rule engine of a site."""
        from enapter_async.resources.rule_engine import RawRuleEngines

        return RawRuleEngines(self._session)

    @resource
    def rules(self) -> RawRules:
        """Rules of a site."""
        from enapter_async.resources.rules import RawRules

        return RawRules(self._session)
