"""Wrappers of Pipecat's services.

Usage is taken where every service reports it, in `start_*_usage_metrics`: the figures of the metrics frames,
each once, and also where the application left usage metrics switched off. Each run of a service is a span in
whose context the service works, so that a vendor's spans become its children; if one of those describes the
same operation, the framework's span says `billable=false` and the call is counted once.
"""

from collections.abc import AsyncGenerator, Callable
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.guard import quietly
from callfare.instrumentation.pipecat._usage import request_of, token_quantities
from callfare.session import Session
from callfare.span import Amount, CallSpan, open_call, watch_calls
from callfare.stream import finish
from callfare.wrapping import Wrapper

__all__ = ["llm_init", "llm_usage", "stt_cleanup", "stt_init", "stt_usage", "tts_init", "tts_usage"]

_RUN = context_api.create_key("callfare-pipecat-run")
_SESSION = "_callfare_session"
_CONTEXT_FRAMES = frozenset({"LLMContextFrame", "OpenAILLMContextFrame", "LLMMessagesFrame"})


class _Run:
    """One run of a service: its span, the context the service works in, and what is seen below."""

    def __init__(self, tracer: Tracer, service: Any, operation: str) -> None:
        self.operation = operation
        self.call = open_call(tracer, request_of(service, operation))
        self.has_usage = False
        context, self._seen = watch_calls(trace.set_span_in_context(self.call.span))
        self.context = context_api.set_value(_RUN, self, context)

    def add(self, quantities: dict[str, Amount]) -> None:
        """Usage the service reports."""
        self.has_usage = True
        for name, amount in quantities.items():
            self.call.add(name, amount)

    def end(self, error: BaseException | None = None) -> None:
        """Finish; not billable if a vendor's span tells the same, or if there is nothing to tell."""
        if self.operation in self._seen or not self.has_usage:
            self.call.set(names.USAGE_BILLABLE, value=False)
        finish(self.call, error)


@quietly
def _begin(tracer: Tracer, service: Any, operation: str) -> _Run:
    return _Run(tracer, service, operation)


def _current_run(operation: str) -> _Run | None:
    run = context_api.get_value(_RUN)
    return run if isinstance(run, _Run) and run.operation == operation else None


@quietly
def _report(tracer: Tracer, service: Any, operation: str, quantities: dict[str, Amount]) -> None:
    """To the run that is under way; a service that reports outside of one gets a span for it."""
    run = _current_run(operation)
    if run is not None:
        run.add(quantities)
        return
    call: CallSpan = open_call(tracer, request_of(service, operation))
    for name, amount in quantities.items():
        call.add(name, amount)
    call.end()


def tts_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_tts_usage_metrics(text)`."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text = args[0] if args else kwargs.get("text", "")
        _report(tracer, instance, "text_to_speech", {names.INPUT_CHARACTERS: len(text)})
        return await wrapped(*args, **kwargs)

    return wrapper


def llm_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_llm_usage_metrics(tokens)`."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _report_tokens(tracer, instance, args[0] if args else kwargs.get("tokens"))
        return await wrapped(*args, **kwargs)

    return wrapper


@quietly
def _report_tokens(tracer: Tracer, service: Any, usage: Any) -> None:
    _report(tracer, service, "chat", token_quantities(service, usage))


def stt_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_stt_usage_metrics(usage)`: deltas of one session per service."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _hear(tracer, instance, args[0] if args else kwargs.get("usage"))
        return await wrapped(*args, **kwargs)

    return wrapper


@quietly
def _hear(tracer: Tracer, service: Any, usage: Any) -> None:
    context, seen = _listening(service)
    session: Session | None = getattr(service, _SESSION, None)
    if session is None or not session.is_open:
        session = Session.open(tracer, request_of(service, "speech_to_text"), context=context)
        setattr(service, _SESSION, session)
    if seen:
        session.set(names.USAGE_BILLABLE, value=False)
    session.add_seconds(Decimal(str(usage.audio_seconds)))


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
    session: Session | None = getattr(service, _SESSION, None)
    if session is not None:
        session.close()


def _listening(service: Any) -> tuple[Context, set[str]]:
    """The context a recogniser works in, the same for all its life, and the vendor's operations seen there.

    The set the framework's own session would write into is another one: the context is taken from before it.
    """
    kept: tuple[Context, Context, set[str]] | None = getattr(service, "_callfare_listening", None)
    if kept is None:
        outer = context_api.get_current()
        inner, seen = watch_calls(outer)
        kept = (outer, inner, seen)
        service._callfare_listening = kept  # noqa: SLF001 - ours
    return kept[0], kept[2]


def tts_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService.__init__`: from here on, each `run_tts` of this object is a run."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        _replace(
            instance, "run_tts", lambda run: _watched_generator(run, lambda: _begin(tracer, instance, "text_to_speech"))
        )

    return wrapper


def stt_init(_tracer: Tracer) -> Wrapper:
    """Wrapper of `STTService.__init__`: what it starts and sends is watched for a vendor's spans."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        _replace(instance, "run_stt", lambda run: _listening_generator(instance, run))
        _replace(instance, "start", lambda start: _listening_call(instance, start))

    return wrapper


def llm_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `LLMService.__init__`: each frame that asks the model is a run."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        _replace(instance, "process_frame", lambda process: _asking(tracer, instance, process))

    return wrapper


@quietly
def _replace(service: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Subclasses override these methods, so it is the object that gets the wrapper."""
    method = getattr(service, name, None)
    if method is not None:
        setattr(service, name, make(method))


def _watched_generator(run: Any, begin: Callable[[], _Run | None]) -> Any:
    async def run_tts(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        started = begin()
        source = run(*args, **kwargs)
        error: BaseException | None = None
        try:
            async for frame in _in_context(source, started.context if started is not None else None):
                yield frame
        except BaseException as raised:
            error = raised
            raise
        finally:
            await source.aclose()
            if started is not None:
                started.end(error)

    return run_tts


def _listening_generator(service: Any, run: Any) -> Any:
    async def run_stt(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        source = run(*args, **kwargs)
        try:
            async for frame in _in_context(source, _inner_context(service)):
                yield frame
        finally:
            await source.aclose()

    return run_stt


def _listening_call(service: Any, start: Any) -> Any:
    async def start_(*args: Any, **kwargs: Any) -> Any:
        context = _inner_context(service)
        token = context_api.attach(context) if context is not None else None
        try:
            return await start(*args, **kwargs)
        finally:
            if token is not None:
                context_api.detach(token)

    return start_


@quietly
def _inner_context(service: Any) -> Context:
    _listening(service)
    return service._callfare_listening[1]  # noqa: SLF001 - ours


def _asking(tracer: Tracer, service: Any, process: Any) -> Any:
    async def process_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        run = _begin(tracer, service, "chat") if type(frame).__name__ in _CONTEXT_FRAMES else None
        if run is None:
            return await process(frame, *args, **kwargs)
        error: BaseException | None = None
        token = context_api.attach(run.context)
        try:
            return await process(frame, *args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            context_api.detach(token)
            run.end(error)

    return process_frame


async def _in_context(source: Any, context: Context | None) -> AsyncGenerator[Any, None]:
    """Drive a generator in a context, giving the consumer's back at every item."""
    while True:
        token = context_api.attach(context) if context is not None else None
        try:
            item = await anext(source, _END)
        finally:
            if token is not None:
                context_api.detach(token)
        if item is _END:
            return
        yield item


_END = object()
