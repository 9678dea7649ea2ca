"""ElevenLabs' agents: a conversation is one session, billed by the time it is connected.

It begins with the vendor's own greeting, `conversation_initiation_metadata`, and ends when the SDK's loop does: by
`end_session`, by the agent hanging up, by a break. A conversation that was refused never gets the greeting and costs
nothing. The loop of the blocking class runs in a thread of the SDK's own, so the context is that of `start_session`.
A conversation without an audio interface is a chat, which is not billed by the minute: a model of its own.
"""

import weakref
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.session import Session
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.elevenlabs._ends import Sessions, ending, ending_async
from callfare.instrumentation.elevenlabs._usage import conversation_request

__all__ = ["handle_message", "run", "run_async", "start_session"]

_started_in: weakref.WeakKeyDictionary[Any, Context] = weakref.WeakKeyDictionary()
_sessions: Sessions = weakref.WeakKeyDictionary()


def start_session(_tracer: Tracer) -> Wrapper:
    """Wrapper of `start_session`, blocking or not."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _remember(instance)
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def _remember(conversation: Any) -> None:
    _started_in[conversation] = context_api.get_current()


def handle_message(tracer: Tracer) -> Wrapper:
    """Wrapper of `_handle_message(message, ws)`, which sees everything the agent says."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _begin(tracer, instance, args[0] if args else kwargs.get("message"))
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def _begin(tracer: Tracer, conversation: Any, message: Any) -> None:
    if message.get("type") != "conversation_initiation_metadata" or conversation in _sessions:
        return
    session = Session.open(
        tracer,
        conversation_request(conversation),
        is_metered_when_silent=True,
        context=_started_in.get(conversation),
    )
    conversation_id = str(message["conversation_initiation_metadata_event"].get("conversation_id") or "")
    session.set(names.RESPONSE_ID, conversation_id)
    session.set(names.CONVERSATION_ID, conversation_id)
    _sessions[conversation] = session


run = ending(_sessions)
"""Wrapper of `Conversation._run`, the loop of a conversation."""
run_async = ending_async(_sessions)
"""The same for `AsyncConversation._run`."""
