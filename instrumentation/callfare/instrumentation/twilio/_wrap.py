"""Wrappers of Twilio's calls and messages: placing one, and whenever the SDK brings news of one."""

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan
from callfare.calls.wrapping import MakeWrapper, Wrapper, around_async_call, around_call
from callfare.guard import quietly
from callfare.instrumentation.twilio import _legs, _messages, _running, _usage
from callfare.instrumentation.twilio._messages import message_of_instance
from callfare.instrumentation.twilio._usage import leg_of_call

__all__ = [
    "async_create",
    "async_message_news",
    "async_news",
    "async_send",
    "create",
    "message_news",
    "news",
    "send",
]


def _read_create(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    to = kwargs.get("to", args[0] if args else None)
    from_ = kwargs.get("from_", args[1] if len(args) > 1 else None)
    return _usage.request_of_create(to, from_)


def _read_created(call: CallSpan, answer: Any) -> None:
    leg = leg_of_call(_instance_in(answer))
    call.set(names.CALL_ID, leg.call_id)
    call.set(names.CALL_STATUS, leg.status)
    _legs.bind(leg.call_id)
    if leg.call_id and not leg.is_final:
        _running.begin(leg.call_id, call.hand_over())


def _instance_in(answer: Any) -> Any:
    """`*_with_http_info` wraps the instance."""
    return getattr(answer, "data", answer)


create = around_call(_read_create, _read_created)
async_create = around_async_call(_read_create, _read_created)


def _read_send(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    to = kwargs.get("to", args[0] if args else None)
    return _messages.request_of_create(to, kwargs.get("from_"), has_media=isinstance(kwargs.get("media_url"), list))


def _read_sent(call: CallSpan, answer: Any) -> None:
    message = message_of_instance(_instance_in(answer))
    call.set(names.MESSAGE_ID, message.call_id)
    call.set(names.MESSAGE_STATUS, message.status)
    if message.segment_count is not None:
        call.replace(_messages.MESSAGES, message.segment_count, source="vendor_body")
    _legs.bind(message.call_id)
    _legs.note(message)


send = around_call(_read_send, _read_sent)
async_send = around_async_call(_read_send, _read_sent)


def _news(read: Callable[[Any], _legs.StatusUpdate]) -> MakeWrapper:
    """`fetch` and `update` are free: a span is written only if the answer has a price."""

    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            answer = wrapped(*args, **kwargs)
            _record_answer(tracer, read, answer)
            return answer

        return wrapper

    return make


def _async_news(read: Callable[[Any], _legs.StatusUpdate]) -> MakeWrapper:
    """The same, awaited."""

    def make(tracer: Tracer) -> Wrapper:
        async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            answer = await wrapped(*args, **kwargs)
            _record_answer(tracer, read, answer)
            return answer

        return wrapper

    return make


@quietly
def _record_answer(tracer: Tracer, read: Callable[[Any], _legs.StatusUpdate], answer: Any) -> None:
    _legs.record(tracer, read(_instance_in(answer)))


news, async_news = _news(leg_of_call), _async_news(leg_of_call)
message_news, async_message_news = _news(message_of_instance), _async_news(message_of_instance)
