"""What `opentelemetry-instrument` calls of ours before and after the instrumentors.

Entry points `opentelemetry_pre_instrument` and `opentelemetry_post_instrument`. The first puts the attribution
processor, the recording sampler and the exit handlers in place: before the instrumentors, because a tracer keeps
the sampler of the moment it is made. The second looks again, as an instrumentor may have brought a provider of
its own, and wraps what must lie outside all other wrappers. With CALLFARE_DISABLED neither does anything.
"""

import weakref

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import TracerProvider as AnyTracerProvider

from callfare import environment
from callfare.context import AttributionProcessor
from callfare.guard import quietly
from callfare.sampler import RecordEverything, UnsampledExport
from callfare.shutdown import install_exit_handlers

__all__ = ["install", "post_instrument", "pre_instrument"]

_installed: "weakref.WeakSet[TracerProvider]" = weakref.WeakSet()


@quietly
def pre_instrument() -> None:
    """Before the instrumentors."""
    install()


@quietly
def post_instrument() -> None:
    """After the instrumentors."""
    install()
    if environment.includes_stream_usage() and not environment.is_disabled():
        from callfare.instrumentation.openai_audio._stream_usage import (  # noqa: PLC0415 - only where asked for
            StreamUsageInstrumentor,
        )

        StreamUsageInstrumentor().instrument()


@quietly
def install(provider: AnyTracerProvider | None = None) -> None:
    """Put our parts onto a tracer provider of the SDK, once each; any other provider is left alone."""
    if environment.is_disabled():
        return
    provider = provider or trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider) or provider in _installed:
        return
    _installed.add(provider)
    provider.add_span_processor(AttributionProcessor())
    if environment.records_all():
        _record_everything(provider)
        provider.add_span_processor(UnsampledExport(provider))
    install_exit_handlers(provider)


def _record_everything(provider: TracerProvider) -> None:
    provider.sampler = RecordEverything(provider.sampler)
    # Tracers made earlier keep their own reference (private, opentelemetry-sdk 1.40 to 1.45).
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        tracer.sampler = provider.sampler
