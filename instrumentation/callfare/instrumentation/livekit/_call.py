"""The call as the unit: an `AgentSession` opens the root span of everything it does, once for a job.

LiveKit leaves the context of a session to the task that started it, so that what the application does next is in the
call. So do we. The id is that of the room, or of the job; the room's name may hold a telephone number.
"""

import sys
import weakref
from collections.abc import Mapping
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

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

__all__ = ["session_close", "session_start"]

_TWILIO_LEG = "sip.twilio.callSid"
_calls: weakref.WeakKeyDictionary[Any, VoiceCall] = weakref.WeakKeyDictionary()
"""By session, and by job: a second session of a job works for the same call."""
_OUTCOMES = {"error": FAILED, "job_shutdown": CANCELLED}


def session_start(tracer: Tracer) -> Wrapper:
    """Wrapper of `AgentSession.start`."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(tracer, instance, kwargs.get("room"))
        if call is not None:
            context_api.attach(call.context)
        _watch_conversation(instance)
        try:
            return await wrapped(*args, **kwargs)
        except Exception:
            _end(instance, "error")
            raise

    return wrapper


def session_close(_tracer: Tracer) -> Wrapper:
    """Wrapper of `AgentSession._aclose_impl`, by which every session ends."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        reason = kwargs.get("reason")
        try:
            return await wrapped(*args, **kwargs)
        finally:
            _end(instance, str(getattr(reason, "value", "")))
            state_conversation(_contexts.pop(instance, None))

    return wrapper


@quietly
def _open(tracer: Tracer, session: Any, room: Any) -> VoiceCall | None:
    if getattr(session, "_started", False):
        return None
    job = _job()
    known = _calls.get(job) if job is not None else None
    if known is not None and not known.is_over:
        return known
    call = VoiceCall.open(tracer, call_id=_id_of(job))
    if call is not None:
        _calls[session] = call
        if job is not None:
            _calls[job] = call
        _watch_room(call, room if hasattr(room, "remote_participants") else getattr(job, "room", None))
    return call


_contexts: weakref.WeakKeyDictionary[Any, Context] = weakref.WeakKeyDictionary()
"""By session: what it was started in, where somebody speaks in a workflow."""


@quietly
def _watch_conversation(session: Any) -> None:
    """See who speaks. LiveKit itself reports turns and what was interrupted, with the items of the conversation."""
    if session in _contexts or not is_in_workflow():
        return
    _contexts[session] = context_api.get_current()
    conversation = conversation_in()

    def agent_state_changed(event: Any) -> None:
        conversation.agent(is_speaking=event.new_state == "speaking")

    def user_state_changed(event: Any) -> None:
        conversation.caller(is_speaking=event.new_state == "speaking", is_counted=False)

    def conversation_item_added(event: Any) -> None:
        item = event.item
        if getattr(item, "role", "") == "user":
            conversation.add_turn()
        elif getattr(item, "interrupted", False):
            conversation.add_interruption()

    for listener in (agent_state_changed, user_state_changed, conversation_item_added):
        session.on(listener.__name__, listener)


@quietly
def _end(session: Any, reason: str) -> None:
    call = _calls.pop(session, None)
    if call is not None:
        call.end(_OUTCOMES.get(reason, COMPLETED))


def _job() -> Any:
    find = getattr(sys.modules.get("livekit.agents.job"), "get_job_context", None)
    return find(required=False) if find is not None else None


def _id_of(job: Any) -> str:
    """The room's id, else the job's. No protobuf field is None, and outside of a job there is none."""
    info = getattr(job, "job", None)
    return str(getattr(getattr(info, "room", None), "sid", "") or getattr(info, "id", ""))


def _watch_room(call: VoiceCall, room: Any) -> None:
    """Note the Twilio call by which a participant joins the room, where there is one."""
    if room is None:
        return

    def joined(participant: Any, *_: Any) -> None:
        _carried_by(call, participant)

    def changed(_names: Any, participant: Any, *_: Any) -> None:
        _carried_by(call, participant)

    room.on("participant_connected", joined)
    room.on("participant_attributes_changed", changed)
    for participant in list(getattr(room, "remote_participants", {}).values()):
        _carried_by(call, participant)


@quietly
def _carried_by(call: VoiceCall, participant: Any) -> None:
    attributes = getattr(participant, "attributes", None)
    leg = attributes.get(_TWILIO_LEG, "") if isinstance(attributes, Mapping) else ""
    if leg and not call.is_over:
        call.carried_by(leg)
