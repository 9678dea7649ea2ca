"""The hooks that `opentelemetry-instrument` calls before and after the instrumentors.

Entry points `opentelemetry_pre_instrument` and `opentelemetry_post_instrument`. The first puts the attribution
processor, the recording sampler and the exit handlers in place: before the instrumentors, because a tracer keeps
the sampler of the moment it is made. The second looks again, as an instrumentor may have brought a provider of
its own, and wraps what must lie outside all other wrappers. An application that sets up its provider by itself, later,
gets the parts then. With CALLFARE_DISABLED nothing is installed.
"""

import logging
import sys
import weakref
from functools import wraps

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import TracerProvider as AnyTracerProvider

from callfare import environment
from callfare.guard import quietly
from callfare.provider.context import AttributionProcessor
from callfare.provider.sampler import RecordEverything, UnsampledExport, exporter_modules
from callfare.provider.shutdown import install_exit_handlers

__all__ = ["install", "post_instrument", "pre_instrument", "warn_of_unused_spool"]

_log = logging.getLogger("callfare")
_installed: "weakref.WeakSet[TracerProvider]" = weakref.WeakSet()
_PROXIES_MAX = 4


@quietly
def pre_instrument() -> None:
    """Before the instrumentors."""
    install()


@quietly
def post_instrument() -> None:
    """After the instrumentors."""
    install()
    warn_of_unused_spool(trace.get_tracer_provider())
    asks = environment.includes_stream_usage()
    if asks is None:  # where OpenAI's SDK is instrumented at all
        asks = "callfare.instrumentation.openai_audio" in sys.modules
    if asks and not environment.is_disabled():
        from callfare.instrumentation.openai_audio._stream_usage import (  # noqa: PLC0415 - only where asked for
            StreamUsageInstrumentor,
        )

        StreamUsageInstrumentor().instrument()


@quietly
def install(provider: AnyTracerProvider | None = None) -> None:
    """Put our parts onto a tracer provider of the SDK, once each; where there is none yet, onto the one to come."""
    if environment.is_disabled():
        return
    if not environment.trusts_baggage():
        from callfare.provider.border import distrust_incoming_baggage  # noqa: PLC0415 - looking for propagators takes 20 ms

        distrust_incoming_baggage()
    found = _sdk_provider(provider or trace.get_tracer_provider())
    if found is None:
        _install_on_the_one_to_come()
    elif found not in _installed:
        _put_onto(found)


def _sdk_provider(provider: object) -> TracerProvider | None:
    """The SDK's provider, also below a declared proxy of it such as Logfire's."""
    for _ in range(_PROXIES_MAX):
        if isinstance(provider, TracerProvider):
            return provider
        provider = getattr(provider, "provider", None)
    return None


def _install_on_the_one_to_come() -> None:
    known = trace.set_tracer_provider
    if getattr(known, "installs_callfare", False):
        return

    @wraps(known)
    def set_tracer_provider(tracer_provider: AnyTracerProvider) -> None:
        known(tracer_provider)
        install()

    set_tracer_provider.__dict__["installs_callfare"] = True
    trace.set_tracer_provider = set_tracer_provider


def _put_onto(provider: TracerProvider) -> None:
    _installed.add(provider)
    provider.add_span_processor(AttributionProcessor())
    if environment.records_all():
        _record_everything(provider)
        provider.add_span_processor(UnsampledExport(provider))
    install_exit_handlers(provider)


@quietly
def warn_of_unused_spool(provider: AnyTracerProvider) -> None:
    """Say where CALLFARE_SPOOL_DIR is set, and no exporter uses it."""
    if not environment.spool_folder() or environment.is_disabled():
        return
    if not any(module.startswith("callfare.") for module in exporter_modules(provider)):
        _log.warning(
            "CALLFARE_SPOOL_DIR is not used: only OTEL_TRACES_EXPORTER=callfare_otlp, or callfare, keeps spans there"
        )


def _record_everything(provider: TracerProvider) -> None:
    provider.sampler = RecordEverything(provider.sampler)
    # Tracers made earlier keep their own reference (private, opentelemetry-sdk 1.40 to 1.45).
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        tracer.sampler = provider.sampler
