"""Spans and metrics of a client for OpenTelemetry, built on its hooks (extra `otel`).

Names have few values: they contain an operation such as `devices.get`, never an identifier. The token, headers, queries
and bodies are never recorded, since events do not contain them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Final, TypeAlias
from weakref import WeakSet

from enapter_async import (
    APIError,
    AttemptFailed,
    AttemptHook,
    CallEvent,
    EnapterClient,
    Event,
    Load,
    MissingExtraError,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    SharedLimitLost,
)

try:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter, get_meter_provider
    from opentelemetry.trace import (
        ProxyTracerProvider,
        Span,
        SpanKind,
        Status,
        StatusCode,
        TracerProvider,
        get_tracer,
        get_tracer_provider,
        use_span,
    )
except ImportError as _error:
    raise MissingExtraError("opentelemetry-api", "otel") from _error

_SCOPE: Final = "enapter_async"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)

_Attributes: TypeAlias = dict[str, str | int | float]


class OpenTelemetryHook(AttemptHook):
    """A hook that creates a span for each call, and counts and times calls. The span of a stream ends when it is open.

    Pass it to any number of clients: `EnapterClient(hooks=[OpenTelemetryHook()])`. A span is a child of the span that
    is current when the call is made. It is itself the current span while a request of the call is sent, so the spans
    of an instrumented aiohttp are its children. Attributes follow OpenTelemetry's semantic conventions for HTTP clients
    where they apply.

    | metric | kind | meaning |
    |---|---|---|
    | `enapter.client.call.duration` | histogram, s | whole calls, including waiting and all attempts |
    | `enapter.client.call.wait` | histogram, s | time of a call spent waiting for the rate limit |
    | `enapter.client.calls.active` | up-down counter | running calls |
    | `enapter.client.attempts` | counter | attempts |
    | `enapter.client.rejections` | counter | 429 responses |
    | `enapter.client.retries` | counter | scheduled retries |
    | `enapter.client.shared_limit.losses` | counter | times that the shared rate limit became unavailable |
    | `enapter.client.in_flight`, `.waiting`, `.pace`, `.retry_budget` | gauges | `client.load`; see `observe` |
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Create the instruments.

        Args:
            tracer_provider: Tracer provider; None for the global one.
            meter_provider: Meter provider; None for the global one.
        """
        self._tracer = get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = get_meter(_SCOPE, meter_provider=meter_provider)
        self._spans: dict[int, Span] = {}
        self._clients: WeakSet[EnapterClient] = WeakSet()
        self._duration = meter.create_histogram(
            "enapter.client.call.duration", "s", "Whole calls", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._wait = meter.create_histogram(
            "enapter.client.call.wait", "s", "Waiting for the rate limit", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._active = meter.create_up_down_counter("enapter.client.calls.active", "{call}", "Running calls")
        self._attempts = meter.create_counter("enapter.client.attempts", "{request}", "Requests tried")
        self._rejections = meter.create_counter("enapter.client.rejections", "{request}", "429 responses")
        self._retries = meter.create_counter("enapter.client.retries", "{request}", "Scheduled retries")
        self._losses = meter.create_counter("enapter.client.shared_limit.losses", "{loss}", "Shared rate limit losses")
        gauges: dict[str, tuple[str, Callable[[Load], float | None]]] = {
            "in_flight": ("{request}", lambda load: load.in_flight),
            "waiting": ("{call}", lambda load: load.waiting),
            "pace": ("{request}/s", lambda load: load.requests_per_second),
            "retry_budget": ("{request}", lambda load: load.retry_budget),
        }
        for name, (unit, look) in gauges.items():
            meter.create_observable_gauge(f"enapter.client.{name}", [self._gauge(look)], unit)

    def observe(self, client: EnapterClient) -> None:
        """Report the load of a client in the gauges, for as long as the client exists.

        The gauges are the sums over all observed clients of the process.

        Args:
            client: A client, but not a `with_options` copy of an observed client.
        """
        self._clients.add(client)

    def around_attempt(self, call: int) -> AbstractContextManager[object]:
        """Make the span of a call current while one of its requests is sent.

        Args:
            call: Number of the call.
        """
        span = self._spans.get(call)
        if span is None:  # the hook was not there when the call began
            return nullcontext()
        return use_span(span, record_exception=False, set_status_on_exception=False)

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case RequestStarted():
                self._started(event)
            case AttemptFailed():
                self._failed(event)
            case RetryScheduled():
                self._scheduled(event)
            case RequestFinished():
                self._finished(event)
            case SharedLimitLost():
                self._losses.add(1)
            case _:
                pass

    # -- inside --------------------------------------------------------------------------------------------

    def _started(self, event: RequestStarted) -> None:
        self._active.add(1, _described(event))
        attributes = _described(event)
        attributes["url.path"] = event.path
        self._spans[event.call] = self._tracer.start_span(event.operation, kind=SpanKind.CLIENT, attributes=attributes)

    def _failed(self, event: AttemptFailed) -> None:
        if event.status == 429:
            self._rejections.add(1, _described(event))
        attributes: _Attributes = {
            "enapter.attempt": event.attempt,
            "error.type": _kind(event.error),
            "enapter.error.message": str(event.error),
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if (span := self._spans.get(event.call)) is not None:
            span.add_event("attempt failed", attributes)

    def _scheduled(self, event: RetryScheduled) -> None:
        self._retries.add(1, {**_described(event), "error.type": _kind(event.error)})
        if (span := self._spans.get(event.call)) is not None:
            span.add_event(
                "retry scheduled", {"enapter.retry.delay": event.delay, "enapter.retry.budget": event.budget}
            )

    def _finished(self, event: RequestFinished) -> None:
        self._active.add(-1, _described(event))
        attributes = _described(event)
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.error is not None:
            attributes["error.type"] = _kind(event.error)
        self._attempts.add(event.attempts, _described(event))
        self._duration.record(event.elapsed, attributes)
        self._wait.record(event.waited, _described(event))
        span = self._spans.pop(event.call, None)
        if span is None:  # the hook was not there when the call began
            return
        span.set_attributes({**attributes, "enapter.attempts": event.attempts, "enapter.wait": event.waited})
        if event.attempts > 1:
            span.set_attribute("http.request.resend_count", event.attempts - 1)
        if event.error is not None:
            # Without the stack trace, which would reveal the caller's code to readers of traces.
            span.add_event(
                "exception", {"exception.type": _full_name(event.error), "exception.message": str(event.error)}
            )
            span.set_status(Status(StatusCode.ERROR, _kind(event.error)))
        span.end()

    def _gauge(self, look: Callable[[Load], float | None]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            values = [value for client in tuple(self._clients) if (value := look(client.load)) is not None]
            return [Observation(sum(values))] if values else []

        return observe


def configure_from_environment() -> None:
    """Set up OpenTelemetry's SDK and the installed instrumentations from the `OTEL_*` variables.

    This does nothing if the program already has a tracer provider, for example under `opentelemetry-instrument`.

    Raises:
        MissingExtraError: `opentelemetry-distro` is not installed.
    """
    if not isinstance(get_tracer_provider(), ProxyTracerProvider):
        return
    try:
        import_module("opentelemetry.distro")
        initialize = import_module("opentelemetry.instrumentation.auto_instrumentation").initialize
    except (ImportError, AttributeError) as error:  # older than 0.52b0
        raise MissingExtraError("opentelemetry-distro", "otel") from error
    initialize()


def list_shutdowns() -> list[Callable[[], object]]:
    """Return the functions that export what is left and end the global providers."""
    providers = (get_tracer_provider(), get_meter_provider())
    found: list[Callable[[], object] | None] = [getattr(provider, "shutdown", None) for provider in providers]
    return [shutdown for shutdown in found if shutdown is not None]  # providers of the API alone have none


def _described(event: CallEvent) -> _Attributes:
    return {"enapter.operation": event.operation, "http.request.method": event.method}


def _kind(error: BaseException) -> str:
    """Return a low-cardinality name of an error: the status, or the class of the error."""
    return str(error.status) if isinstance(error, APIError) else type(error).__name__


def _full_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
