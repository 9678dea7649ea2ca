"""ElevenLabs' agents: a conversation is one session, billed by the time it is connected.

The budgets are asked before it connects. It begins with the vendor's own greeting, `conversation_initiation_metadata`,
and ends when the SDK's loop does: by `end_session`, by the agent hanging up, by a break. A conversation that the vendor
refused never gets the greeting and costs nothing. The loop of the blocking class runs in a thread of the SDK's own, so
the context is that of `start_session`.
A conversation without an audio interface is a chat, which is not billed by the minute: a model of its own.
"""

import inspect
import weakref
from collections.abc import Awaitable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Offer
from callfare.calls.running import first_part, offer_of
from callfare.calls.session import Session
from callfare.calls.span import CallRequest
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.elevenlabs._ends import Sessions, ending, ending_async
from callfare.instrumentation.elevenlabs._usage import conversation_request

__all__ = ["handle_message", "run", "run_async", "start_session"]

_started_in: weakref.WeakKeyDictionary[Any, Context] = weakref.WeakKeyDictionary()
_sessions: Sessions = weakref.WeakKeyDictionary()
_offers: weakref.WeakKeyDictionary[Any, Offer] = weakref.WeakKeyDictionary()
"""What was reserved for conversations that the vendor has not greeted yet."""


def start_session(_tracer: Tracer) -> Wrapper:
    """Wrapper of `start_session`, blocking or not."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opens = _read(instance)
        offer = None if opens is None else offer_of(first_part(opens), context_api.get_current())
        if offer is not None:
            _offers[instance] = offer
        try:
            started = wrapped(*args, **kwargs)
        except BaseException:
            _give_back(instance)
            raise
        return _awaited(instance, started) if inspect.isawaitable(started) else started

    return wrapper


async def _awaited(conversation: Any, started: Awaitable[Any]) -> Any:
    try:
        return await started
    except BaseException:
        _give_back(conversation)
        raise


@quietly
def _read(conversation: Any) -> CallRequest:
    _started_in[conversation] = context_api.get_current()
    return conversation_request(conversation)


@quietly
def _give_back(conversation: Any) -> None:
    offer = _offers.pop(conversation, None)
    if offer is not None:
        offer.give_back()


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
        offer=_offers.get(conversation),
    )
    conversation_id = str(message["conversation_initiation_metadata_event"].get("conversation_id") or "")
    session.set(names.RESPONSE_ID, conversation_id)
    session.set(names.CONVERSATION_ID, conversation_id)
    _sessions[conversation] = session


run = ending(_sessions, _give_back)
"""Wrapper of `Conversation._run`, the loop of a conversation."""
run_async = ending_async(_sessions, _give_back)
"""The same for `AsyncConversation._run`."""
