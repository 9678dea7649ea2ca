"""Wrappers of Pipecat's recognisers: one session a service, in the deltas that it reports.

A vendor's span may describe the same audio. Where its connection is made in `setup` or `start`, it is seen before the
first report; where it is a request a segment, only after it, as Pipecat reports a segment before it sends it. So
whose bill it is, is asked at every report, after every request, and at the goodbye.
"""

from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.guard import quietly
from callfare.instrumentation.pipecat._drive import in_context, replace_method
from callfare.instrumentation.pipecat._usage import audio_seconds, request_of
from callfare.session import Session
from callfare.span import watch_calls
from callfare.wrapping import Wrapper

__all__ = ["stt_cleanup", "stt_init"]

_EAR = "_callfare_ear"
_OPERATION = "speech_to_text"


class _Ear:
    """What we keep of a recogniser: the context it works in, the same for all its life, and its session."""

    def __init__(self) -> None:
        self.outer = context_api.get_current()
        """The context from before the watch: our own session must not pass for a vendor's."""
        self.inner, self._seen = watch_calls(self.outer)
        self.session: Session | None = None

    def yield_the_bill(self) -> None:
        """To the vendor's span, if there is one."""
        if self.session is not None and _OPERATION in self._seen:
            self.session.set(names.USAGE_BILLABLE, value=False)


def _ear_of(service: Any) -> _Ear:
    ear: _Ear | None = getattr(service, _EAR, None)
    if ear is None:
        ear = _Ear()
        setattr(service, _EAR, ear)
    return ear


def stt_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `STTService.__init__`: what it connects, starts and sends is watched for a vendor's spans.

    Its report as well is the object's: Pipecat's tracing keeps in every class the one it found as it was defined.
    """

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        replace_method(instance, "start_stt_usage_metrics", lambda report: _reporting(tracer, instance, report))
        replace_method(instance, "run_stt", lambda run: _listening_generator(instance, run))
        for connects in ("setup", "start"):
            replace_method(instance, connects, lambda method: _listening_call(instance, method))

    return wrapper


def _reporting(tracer: Tracer, service: Any, report: Any) -> Any:
    async def start_stt_usage_metrics(*args: Any, **kwargs: Any) -> Any:
        _hear(tracer, service, args[0] if args else kwargs.get("usage"))
        return await report(*args, **kwargs)

    return start_stt_usage_metrics


@quietly
def _hear(tracer: Tracer, service: Any, usage: Any) -> None:
    ear = _ear_of(service)
    if ear.session is None or not ear.session.is_open:
        ear.session = Session.open(tracer, request_of(service, _OPERATION), context=ear.outer)
    ear.yield_the_bill()
    ear.session.add_seconds(audio_seconds(usage))


def _listening_generator(service: Any, run: Any) -> Any:
    async def run_stt(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        source = run(*args, **kwargs)
        try:
            async for frame in in_context(source, _inner_context(service)):
                yield frame
        finally:
            _has_asked(service)
            await source.aclose()

    return run_stt


def _listening_call(service: Any, method: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        context = _inner_context(service)
        token = context_api.attach(context) if context is not None else None
        try:
            return await method(*args, **kwargs)
        finally:
            if token is not None:
                context_api.detach(token)

    return call


@quietly
def _inner_context(service: Any) -> Context:
    return _ear_of(service).inner


@quietly
def _has_asked(service: Any) -> None:
    _ear_of(service).yield_the_bill()


def stt_cleanup(_tracer: Tracer) -> Wrapper:
    """Wrapper of `STTService.cleanup`: the session's goodbye, after Pipecat's own last report."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await wrapped(*args, **kwargs)
        finally:
            _goodbye(instance)

    return wrapper


@quietly
def _goodbye(service: Any) -> None:
    ear = _ear_of(service)
    if ear.session is not None:
        ear.yield_the_bill()
        ear.session.close()
