"""The asyncio SDK for Enapter energy systems (HTTP API v3), in the Cloud and on a Gateway."""

from __future__ import annotations

from importlib import import_module
from typing import Final

__version__ = "0.1.0.dev0"

# Each public name once, under the module that defines it. Names are imported when first used: all of them take 50 ms.
# `python tests/unit/test_public_api.py` writes the stub for type checkers, `__init__.pyi`, from this table.
_MODULES: Final = {
    "enapter_async._protocol.request": ("Headers", "Safety"),
    "enapter_async._protocol.timeseries.plan": ("HistoryPart", "HistoryPlan", "plan_history"),
    "enapter_async._streaming.history": ("History",),
    "enapter_async._streaming.stream": ("Stream",),
    "enapter_async._streaming.terminal": ("Terminal",),
    "enapter_async._streaming.timeseries": ("TimeseriesStream",),
    "enapter_async._streaming.watch": ("Watch",),
    "enapter_async.client": ("ClientOptions", "EnapterClient", "Load"),
    "enapter_async.config": (
        "CLOUD_URL",
        "ClientConfig",
        "RateLimit",
        "RetryPolicy",
        "SharedRateLimit",
        "StreamPolicy",
        "Timeouts",
        "TokenProvider",
    ),
    "enapter_async.errors": (
        "APIError",
        "AttemptTimeoutError",
        "AuthenticationError",
        "BadRequestError",
        "ClientClosedError",
        "CommandFailedError",
        "ConfigurationError",
        "ConflictError",
        "ConnectError",
        "ConnectionLostError",
        "DeadlineExceededError",
        "DecodeError",
        "EnapterError",
        "ErrorDetail",
        "ExecutionPendingError",
        "InsecureConnectionWarning",
        "InvalidArgumentError",
        "InvalidBodyError",
        "MissingExtraError",
        "NameResolutionError",
        "NotFoundError",
        "Outcome",
        "OutcomeUnknownError",
        "PaginationError",
        "PermissionDeniedError",
        "RateLimitedError",
        "RequestError",
        "ResponseTooLargeError",
        "SchemaError",
        "SelectionError",
        "ServerError",
        "ServerOutcomeUnknownError",
        "StorageError",
        "StreamError",
        "TLSError",
        "TelemetryNotFoundError",
        "TimeseriesFormatError",
        "TokenProviderError",
        "TransportError",
        "UnexpectedRedirectError",
        "UnprocessableError",
        "WrongEventLoopError",
    ),
    "enapter_async.hooks": (
        "AttemptFailed",
        "AttemptHook",
        "CallEvent",
        "Event",
        "Hook",
        "RequestFinished",
        "RequestStarted",
        "RetryScheduled",
        "SharedLimitLost",
        "SharedLimitRestored",
    ),
    "enapter_async.integrations.discovery": ("DiscoveredGateway", "discover_gateways"),
    "enapter_async.models.blueprints": ("Blueprint", "BlueprintName", "BlueprintValidation", "BlueprintView"),
    "enapter_async.models.commands": (
        "CommandExecution",
        "CommandRequest",
        "CommandResponse",
        "ExecutionState",
        "ResponseState",
    ),
    "enapter_async.models.common": ("AccessRole", "Duration", "JSON", "OpenEnum", "UNSET", "Unset"),
    "enapter_async.models.communication": (
        "CommunicationConfig",
        "MqttCredentials",
        "MqttProtocol",
        "MqttProtocolName",
        "TimeSyncProtocol",
    ),
    "enapter_async.models.declarations": (
        "AlertDeclaration",
        "AlertSeverity",
        "ArgumentDeclaration",
        "CommandDeclaration",
        "ConfigurationGroup",
        "Confirmation",
        "EnumValue",
        "ManifestProblem",
        "ValueDeclaration",
        "ValueType",
    ),
    "enapter_async.models.devices": (
        "Communication",
        "CommunicationType",
        "Connectivity",
        "ConnectivityStatus",
        "Device",
        "DeviceType",
    ),
    "enapter_async.models.logs": ("LogRecord", "LogRetention", "LogSeverity", "RuleLogRecord"),
    "enapter_async.models.manifest": ("Manifest",),
    "enapter_async.models.provisioning": ("ProvisionedDevice",),
    "enapter_async.models.rule_engine": ("RuleEngine", "RuleEngineState"),
    "enapter_async.models.rules": ("Rule", "RuleScript", "RuleState", "RuntimeVersion"),
    "enapter_async.models.sites": ("Location", "Site"),
    "enapter_async.models.stream_events": ("FramesDropped", "MalformedFrame", "StreamEvent", "StreamGap"),
    "enapter_async.models.streams": ("DeviceFrame", "TelemetryFrame"),
    "enapter_async.models.telemetry": ("LatestPoint",),
    "enapter_async.models.terminal": ("TerminalSession",),
    "enapter_async.models.timeseries": (
        "Aggregation",
        "Column",
        "ColumnHeader",
        "DataType",
        "Locf",
        "Series",
        "Timeseries",
        "TimeseriesBatch",
        "TimeseriesQuery",
        "TimeseriesRow",
        "TimeseriesValue",
    ),
    "enapter_async.models.watch": (
        "Datapoint",
        "PollFailed",
        "PollLate",
        "TickMissed",
        "ValueMissing",
        "ValueUnreadable",
        "WatchEvent",
        "WatchStatistics",
    ),
    "enapter_async.pagination": ("Page", "Pager"),
    "enapter_async.resources._packing": ("BlueprintSource",),
    "enapter_async.resources._waiting": ("OnProgress",),
    "enapter_async.resources.blueprints": ("BlueprintViewName",),
    "enapter_async.resources.commands": (
        "ExecutionExpand",
        "ExecutionListExpand",
        "ExecutionOrder",
        "ExecutionStateName",
    ),
    "enapter_async.resources.devices": ("DeviceExpand",),
    "enapter_async.resources.logs": ("LogOrder", "LogRetentionName", "LogSeverityName"),
    "enapter_async.response": ("Response",),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ("__version__", *sorted(_HOMES))  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
