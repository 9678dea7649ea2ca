"""Wrappers of Pipecat's language models: each time a model is asked is a run."""

from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.pipecat._drive import replace_method
from callfare.instrumentation.pipecat._run import Run, begin, current_run, report
from callfare.instrumentation.pipecat._usage import context_length, token_quantities

__all__ = ["llm_init", "llm_usage"]

_CONTEXT_FRAMES = frozenset({"LLMContextFrame", "OpenAILLMContextFrame", "LLMMessagesFrame"})


def llm_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_llm_usage_metrics(tokens)`."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _report_tokens(tracer, instance, args[0] if args else kwargs.get("tokens"))
        return await wrapped(*args, **kwargs)

    return wrapper


@quietly
def _report_tokens(tracer: Tracer, service: Any, usage: Any) -> None:
    report(tracer, service, "chat", token_quantities(service, usage))


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
        run = begin(tracer, service, "chat", is_call=True)
        _state_length(run, args[0] if args else kwargs.get("context"))
        return await _run(run, ask, args, kwargs)

    return process_context


@quietly
def _state_length(run: Run | None, context: Any) -> None:
    """How long the question is: what it costs at least, where it is interrupted before its usage comes."""
    if run is not None and context is not None:
        run.call.set(names.REQUEST_CHARACTERS, context_length(context))


def _answering(push: Any) -> Any:
    async def push_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        if type(frame).__name__ == "LLMTextFrame" and (run := current_run("chat")) is not None:
            run.came(len(frame.text))
        return await push(frame, *args, **kwargs)

    return push_frame


def _processing(tracer: Tracer, service: Any, process: Any) -> Any:
    async def process_frame(frame: Any, *args: Any, **kwargs: Any) -> Any:
        run = begin(tracer, service, "chat") if type(frame).__name__ in _CONTEXT_FRAMES else None
        return await _run(run, process, (frame, *args), kwargs)

    return process_frame


async def _run(run: Run | None, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
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
