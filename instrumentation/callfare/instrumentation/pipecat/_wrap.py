"""Wrappers of Pipecat's speakers and language models.

Usage is taken where every service reports it, in `start_*_usage_metrics`: the figures of the metrics frames,
each once, and also where the application left usage metrics switched off. Each run of a service is a span in
whose context the service works, so that a vendor's spans become its children; if one of those describes the
same operation, the framework's span says `billable=false` and the call is counted once.
"""

from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import Amount, open_call, watch_calls
from callfare.calls.stream import ended_by_application, finish
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.pipecat._drive import in_context, replace_method
from callfare.instrumentation.pipecat._usage import context_length, request_of, token_quantities

__all__ = ["llm_init", "llm_usage", "tts_cancel", "tts_init", "tts_interruption", "tts_usage"]

_RUN = context_api.create_key("callfare-pipecat-run")
_UTTERANCE = "_callfare_utterance"
_SPEECH = "text_to_speech"
_CONTEXT_FRAMES = frozenset({"LLMContextFrame", "OpenAILLMContextFrame", "LLMMessagesFrame"})


class _Run:
    """One run of a service: its span, the context the service works in, and what is seen below."""

    def __init__(self, tracer: Tracer, service: Any, operation: str, *, is_call: bool) -> None:
        """`is_call` where the service asks its vendor in every run, so that one without usage is not free."""
        self.operation = operation
        self.call = open_call(tracer, request_of(service, operation))
        self.has_usage = False
        self._is_call = is_call
        self._has_estimate = False
        self.answer_characters = 0
        context, self._seen = watch_calls(trace.set_span_in_context(self.call.span))
        self.context = context_api.set_value(_RUN, self, context)

    def add(self, quantities: dict[str, Amount]) -> None:
        """Usage the service reports."""
        self.has_usage = True
        for name, amount in quantities.items():
            self.call.add(name, amount)

    def estimate(self, name: str, amount: int) -> None:
        """What the service will have used if it is interrupted before it reports."""
        self._has_estimate = True
        self.call.estimate(name, amount)

    def came(self, character_count: int) -> None:
        """A piece of the answer."""
        self.answer_characters += character_count

    def end(self, error: BaseException | None = None) -> None:
        """Finish; not billable if a vendor's span tells the same, or if there is nothing to tell."""
        is_estimated = error is not None and ended_by_application(error) and self._has_estimate
        if self.operation in self._seen or not (self.has_usage or self._is_call or is_estimated):
            self.call.set(names.USAGE_BILLABLE, value=False)
        if self.operation == "chat":
            self.call.set(names.RESPONSE_CHARACTERS, self.answer_characters)
        finish(self.call, error)


@quietly
def _begin(tracer: Tracer, service: Any, operation: str, *, is_call: bool = False) -> _Run:
    return _Run(tracer, service, operation, is_call=is_call)


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
    call = open_call(tracer, request_of(service, operation))
    for name, amount in quantities.items():
        call.add(name, amount)
    call.end()


def tts_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_tts_usage_metrics(text)`: in TOKEN mode, the end of an utterance."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text = args[0] if args else kwargs.get("text", "")
        if getattr(instance, "_is_streaming_tokens", False):
            _end_utterance(instance)
        else:
            _report(tracer, instance, _SPEECH, {names.INPUT_CHARACTERS: len(text)})
        return await wrapped(*args, **kwargs)

    return wrapper


def tts_interruption(_tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService._handle_interruption`, which forgets what TOKEN mode has sent (pipecat issue 5611)."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _end_utterance(instance, GeneratorExit())
        return await wrapped(*args, **kwargs)

    return wrapper


tts_cancel = tts_interruption
"""Wrapper of `TTSService.cancel` and `cleanup`, after which nobody reports any more."""


@quietly
def _utterance_of(tracer: Tracer, service: Any, character_count: int) -> _Run:
    """The utterance whose next token is being sent; its first one begins it.

    It is open as long as tokens come, so that the end of the process finds it.
    """
    utterance: _Run | None = vars(service).get(_UTTERANCE)
    if utterance is None or utterance.call.is_finished:
        utterance = _Run(tracer, service, _SPEECH, is_call=False)
        setattr(service, _UTTERANCE, utterance)
    utterance.add({names.INPUT_CHARACTERS: character_count})
    return utterance


@quietly
def _end_utterance(service: Any, error: BaseException | None = None) -> None:
    utterance: _Run | None = vars(service).pop(_UTTERANCE, None)
    if utterance is not None:
        utterance.end(error)


def llm_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_llm_usage_metrics(tokens)`."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _report_tokens(tracer, instance, args[0] if args else kwargs.get("tokens"))
        return await wrapped(*args, **kwargs)

    return wrapper


@quietly
def _report_tokens(tracer: Tracer, service: Any, usage: Any) -> None:
    _report(tracer, service, "chat", token_quantities(service, usage))


def tts_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService.__init__`: from here on, each `run_tts` of this object is a run."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        replace_method(instance, "run_tts", lambda run: _speaking(tracer, instance, run))

    return wrapper


def _speaking(tracer: Tracer, service: Any, run: Any) -> Any:
    def run_tts(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        source = run(*args, **kwargs)
        text = args[0] if args else kwargs.get("text", "")
        character_count = len(text) if isinstance(text, str) else 0
        if getattr(service, "_is_streaming_tokens", False):
            return _streamed(tracer, service, source, character_count)
        return _spoken(tracer, service, source, character_count)

    return run_tts


async def _spoken(tracer: Tracer, service: Any, source: Any, character_count: int) -> AsyncGenerator[Any, None]:
    """One utterance, one run."""
    started = _begin(tracer, service, _SPEECH)
    if started is not None:
        # Many services report once the vendor has answered: the text is with it before.
        started.estimate(names.INPUT_CHARACTERS, character_count)
    error: BaseException | None = None
    try:
        async for frame in in_context(source, started.context if started is not None else None):
            yield frame
    except BaseException as raised:
        error = raised
        raise
    finally:
        await source.aclose()
        if started is not None:
            started.end(error)


async def _streamed(tracer: Tracer, service: Any, source: Any, character_count: int) -> AsyncGenerator[Any, None]:
    """One token of an utterance, which is a run as a whole."""
    utterance = _utterance_of(tracer, service, character_count)
    try:
        async for frame in in_context(source, utterance.context if utterance is not None else None):
            yield frame
    finally:
        await source.aclose()


def llm_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `LLMService.__init__`: each time the model is asked is a run.

    Where the service has a method for just that, its errors are seen as well: `process_frame` swallows them.
    """

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        if hasattr(instance, "_process_context"):
            replace_method(instance, "_process_context", lambda ask: _asking(tracer, instance, ask))
            replace_method(instance, "push_frame", _answering)
        else:
            replace_method(instance, "process_frame", lambda process: _processing(tracer, instance, process))

    return wrapper


def _asking(tracer: Tracer, service: Any, ask: Any) -> Any:
    async def process_context(*args: Any, **kwargs: Any) -> Any:
        run = _begin(tracer, service, "chat", is_call=True)
        _state_length(run, args[0] if args else kwargs.get("context"))
        return await _run(run, ask, args, kwargs)

    return process_context


@quietly
def _state_length(run: _Run | None, context: Any) -> None:
    """How long the question is: what it costs at least, where it is interrupted before anybody tells."""
    if run is not None and context is not None:
        run.call.set(names.REQUEST_CHARACTERS, context_length(context))


def _answering(push: Any) -> Any:
    async def push_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        if type(frame).__name__ == "LLMTextFrame" and (run := _current_run("chat")) is not None:
            run.came(len(frame.text))
        return await push(frame, *args, **kwargs)

    return push_frame


def _processing(tracer: Tracer, service: Any, process: Any) -> Any:
    async def process_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        run = _begin(tracer, service, "chat") if type(frame).__name__ in _CONTEXT_FRAMES else None
        return await _run(run, process, (frame, *args), kwargs)

    return process_frame


async def _run(run: _Run | None, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if run is None:
        return await method(*args, **kwargs)
    error: BaseException | None = None
    token = context_api.attach(run.context)
    try:
        return await method(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        context_api.detach(token)
        run.end(error)
