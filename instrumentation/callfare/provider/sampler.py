"""Keep the cost of unsampled calls.

`RecordEverything` wraps the sampler in force: what that would drop is recorded without being sampled, so
ordinary exporters, which look at the sampled flag, get the same spans as before. `UnsampledExport` then passes
the other spans to the exporters that bill them: callfare's own where there is one, else OTLP. It uses their
own batch processors, so there is no second connection, queue or thread, and no span is sent twice. Such a
span has `callfare.sampled=false`, by which a Collector keeps it from reaching the trace store.
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.util.types import Attributes

from callfare import attributes as names
from callfare.guard import note_internal_error

__all__ = ["RecordEverything", "UnsampledExport", "exporter_modules", "processors_of"]


class RecordEverything(Sampler):
    """Another sampler's decisions, except that nothing is dropped."""

    def __init__(self, inner: Sampler) -> None:
        """Wrap the sampler in force."""
        self.inner = inner

    def should_sample(  # noqa: PLR0917 - the interface's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The inner decision; DROP becomes RECORD_ONLY, with the attributes the caller gave and `callfare.sampled`."""
        result = self.inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP:
            return result
        # A dropping result carries no attributes: the span's own would be lost with them.
        return SamplingResult(Decision.RECORD_ONLY, {**(attributes or {}), names.SAMPLED: False}, result.trace_state)

    def get_description(self) -> str:
        """Name both samplers."""
        return f"CallfareRecordEverything({self.inner.get_description()})"


class UnsampledExport(SpanProcessor):
    """Passes recorded but unsampled spans to the processors whose exporters bill them."""

    def __init__(self, provider: TracerProvider) -> None:
        """Look at the provider's processors as they are when a span ends: they may be added later."""
        self._provider = provider
        self._known: tuple[Any, ...] = ()
        self._targets: tuple[SpanProcessor, ...] = ()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Pass an unsampled span on, marked as sampled for the processor alone. Raises nothing."""
        context = span.context
        if context is None or context.trace_flags.sampled:
            return
        try:
            for target in self._billing_processors():
                target.on_end(_as_sampled(span, context))
        except Exception as error:  # noqa: BLE001 - the application's span has ended all the same
            note_internal_error("exporting an unsampled span", error)

    def _billing_processors(self) -> tuple[SpanProcessor, ...]:
        processors = processors_of(self._provider)
        if processors is not self._known:
            self._known = processors
            self._targets = _billing(processors)
        return self._targets

    def shutdown(self) -> None:
        """Nothing: the processors are the provider's."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface's signature
        """Nothing is held back here."""
        return True


def exporter_modules(provider: object) -> list[str]:
    """Return the module of each exporter of a provider, "" for a processor that exports nothing."""
    return [_exporter_module(processor) for processor in processors_of(provider)]


def processors_of(provider: object) -> tuple[Any, ...]:
    """The processors of a provider; none where this release of the SDK keeps them elsewhere."""
    # The SDK has no public list of processors (opentelemetry-sdk 1.45).
    return getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())


def _billing(processors: Sequence[Any]) -> tuple[SpanProcessor, ...]:
    ours = tuple(each for each in processors if _exports_by(each, "callfare."))
    return ours or tuple(each for each in processors if _exports_by(each, "opentelemetry.exporter.otlp."))


def _exports_by(processor: object, package: str) -> bool:
    """Whether its exporter comes from this package, or is an application's own variety of one that does."""
    exporter = type(getattr(processor, "span_exporter", None))
    return any(kind.__module__.startswith(package) for kind in exporter.__mro__)


def _exporter_module(processor: object) -> str:
    exporter = getattr(processor, "span_exporter", None)
    return "" if exporter is None else type(exporter).__module__


def _as_sampled(span: ReadableSpan, context: SpanContext) -> ReadableSpan:
    """The same span under a flag that lets it through. The flag itself does not go onto the wire."""
    sampled = SpanContext(
        context.trace_id,
        context.span_id,
        context.is_remote,
        TraceFlags(context.trace_flags | TraceFlags.SAMPLED),
        context.trace_state,
    )
    return ReadableSpan(
        name=span.name,
        context=sampled,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
