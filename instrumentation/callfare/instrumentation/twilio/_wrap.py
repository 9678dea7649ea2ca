"""Where Twilio's calls are caught: placing one, and whenever the SDK brings news of one."""

from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.guard import quietly
from callfare.instrumentation.twilio import _legs, _usage
from callfare.span import CallSpan, Request
from callfare.wrapping import Wrapper, around_async_call, around_call

__all__ = ["async_create", "async_news", "create", "news"]


def _read_create(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
    to = kwargs.get("to", args[0] if args else None)
    from_ = kwargs.get("from_", args[1] if len(args) > 1 else None)
    return _usage.request_of_create(to, from_)


def _read_created(call: CallSpan, answer: Any) -> None:
    leg = _usage.leg_of_call(_instance_in(answer))
    call.set(names.CALL_ID, leg.call_id)
    call.set(names.CALL_STATUS, leg.status)
    _legs.bind(leg.call_id)


def _instance_in(answer: Any) -> Any:
    """`*_with_http_info` wraps the instance."""
    return getattr(answer, "data", answer)


create = around_call(_read_create, _read_created)
async_create = around_async_call(_read_create, _read_created)


@quietly
def _hear(tracer: Tracer, answer: Any) -> None:
    _legs.record(tracer, _usage.leg_of_call(_instance_in(answer)))


def news(tracer: Tracer) -> Wrapper:
    """`fetch` and `update` are free: a span is written only where the answer tells what a leg cost."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = wrapped(*args, **kwargs)
        _hear(tracer, answer)
        return answer

    return wrapper


def async_news(tracer: Tracer) -> Wrapper:
    """The same, awaited."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = await wrapped(*args, **kwargs)
        _hear(tracer, answer)
        return answer

    return wrapper
