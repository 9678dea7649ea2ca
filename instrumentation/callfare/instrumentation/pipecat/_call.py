"""The call as the unit: a worker that runs a pipeline opens the root span of everything the pipeline does."""

import sys
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare.account import ATTRIBUTION
from callfare.calls.voice_call import (
    CANCELLED,
    COMPLETED,
    FAILED,
    VoiceCall,
    conversation_in,
    is_in_workflow,
    state_conversation,
)
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = ["observer_init", "worker_run"]

_calls: weakref.WeakKeyDictionary[Any, VoiceCall] = weakref.WeakKeyDictionary()
"""By the bus of its runner: workers that are bridged to a call's pipeline work for that call."""


def worker_run(tracer: Tracer) -> Wrapper:
    """Wrapper of `PipelineWorker.run`, in whose context the pipeline makes its tasks."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(tracer, instance)
        context = call.context if call is not None else _context_of_bridge(instance)
        if context is None:
            _watch_conversation(instance)
            try:
                return await wrapped(*args, **kwargs)
            finally:
                state_conversation()
        error: BaseException | None = None
        token = context_api.attach(context)
        _watch_conversation(instance)
        try:
            return await wrapped(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            context_api.detach(token)
            if call is not None:
                call.end(_outcome(instance, error))

    return wrapper


@quietly
def _open(tracer: Tracer, worker: Any) -> VoiceCall | None:
    if worker.has_finished() or (worker.bridged and _context_of_bridge(worker) is not None):
        return None
    attributes = worker._additional_span_attributes or {}  # noqa: SLF001
    account = {name: str(text) for name, text in attributes.items() if name in ATTRIBUTION}
    leg_id = _twilio_leg(worker)
    call = VoiceCall.open(tracer, call_id=worker._conversation_id or leg_id, account=account)  # noqa: SLF001
    if call is not None:
        if leg_id:
            call.carried_by(leg_id)
        if not worker.bridged:
            _calls[worker.bus] = call
    return call


@quietly
def _context_of_bridge(worker: Any) -> Context | None:
    call = _calls.get(worker.bus) if worker.bridged else None
    return call.context if call is not None else None


def _outcome(worker: Any, error: BaseException | None) -> str:
    if isinstance(error, Exception):
        return FAILED
    return CANCELLED if error is not None or getattr(worker, "_cancelled", False) else COMPLETED


_SPOKEN = {
    "UserStartedSpeakingFrame": ("caller", True),
    "UserStoppedSpeakingFrame": ("caller", False),
    "BotStartedSpeakingFrame": ("agent", True),
    "BotStoppedSpeakingFrame": ("agent", False),
}


@quietly
def _watch_conversation(worker: Any) -> None:
    """See who speaks, in the worker that runs the call's own pipeline."""
    base: Any = getattr(sys.modules.get("pipecat.observers.base_observer"), "BaseObserver", None)
    if base is None or worker.bridged or not is_in_workflow():
        return
    conversation = conversation_in()

    async def on_push_frame(_self: Any, data: Any) -> None:
        spoken = _SPOKEN.get(type(data.frame).__name__)
        if spoken is not None:
            side, is_speaking = spoken
            getattr(conversation, side)(is_speaking=is_speaking)

    worker.add_observer(type("CallfareObserver", (base,), {"on_push_frame": on_push_frame})())


def _twilio_leg(worker: Any) -> str:
    """The call SID of a media stream's `start` message, which the stream's serializer keeps."""
    for processor in _processors(worker.pipeline):
        serializer = getattr(getattr(processor, "_params", None), "serializer", None)
        if type(serializer).__name__ == "TwilioFrameSerializer":
            sid = getattr(serializer, "_call_sid", None)
            if isinstance(sid, str) and sid:
                return sid
    return ""


def _processors(pipeline: Any) -> list[Any]:
    """Those of a pipeline, and of the pipelines in it."""
    found: list[Any] = []
    for each in getattr(pipeline, "processors", ()):
        found += [each, *_processors(each)]
    return found


def observer_init(_tracer: Tracer) -> Wrapper:
    """Wrapper of `OpenInferenceObserver.__init__`, whose turns begin a trace each by an empty context."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        instance._tracer = _InCall(instance._tracer)  # noqa: SLF001 - the observer offers no other way

    return wrapper


class _InCall(_ObjectProxy):
    """A tracer whose spans without a parent are the call's."""

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        context = kwargs.get("context")
        if isinstance(context, Context) and not context and is_in_workflow():
            kwargs["context"] = None  # the current one
        return self.__wrapped__.start_span(*args, **kwargs)
