"""The budgets before a recogniser of LiveKit listens.

A stream is asked for as its task begins, before the plugin connects. Refused, it ends like one of a vendor that cannot
be reached: with an error event that nobody recovers from, by which an `AgentSession` closes, and with the exception for
its reader. A single piece of audio is asked for by its length.

What is reserved is the recogniser's until its first report, which opens the session that takes it over, or until the
instrumentation of a vendor asks for the same connection.
"""

import weakref
from typing import Any

from opentelemetry import context as context_api

from callfare import attributes as names
from callfare.calls.admission import Offer, gate_in
from callfare.calls.running import first_part, offer_by_framework, offered
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.livekit._requests import request_of_recogniser

__all__ = ["is_adapter", "main_task", "reserved_for", "run_recognition"]

_offers: "weakref.WeakKeyDictionary[Any, Offer]" = weakref.WeakKeyDictionary()


def is_adapter(recogniser: object) -> bool:
    """Whether it passes the audio on to another recogniser, which is asked for and given it again."""
    return type(recogniser).__name__.endswith("Adapter")


def reserved_for(recogniser: Any) -> Offer | None:
    """Return what was reserved for the stream that the recogniser opened last."""
    return _offers.get(recogniser)


def main_task(_tracer: Any) -> Wrapper:
    """Wrapper of `RecognizeStream._main_task`, in which the plugin connects, and connects again."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            offer = _ask_for_stream(instance._stt)  # noqa: SLF001 - LiveKit offers no other way
        except Exception as error:
            instance._emit_error(error, recoverable=False)  # noqa: SLF001 - as for any other error of the task
            raise
        with offered(offer):
            return await wrapped(*args, **kwargs)

    return wrapper


def _ask_for_stream(recogniser: Any) -> Offer | None:
    """Reserve for a stream. Raises `BudgetExceeded`."""
    context = context_api.get_current()
    if gate_in(context) is None or is_adapter(recogniser):
        return None
    offer = offer_by_framework(first_part(request_of_recogniser(recogniser)), context)
    if offer is not None:
        _offers[recogniser] = offer
    return offer


async def run_recognition(wrapped: Any, recogniser: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Reserve for one piece of audio, have it recognised, and give back what nobody took. Raises `BudgetExceeded`."""
    context = context_api.get_current()
    if gate_in(context) is None or is_adapter(recogniser):
        return await wrapped(*args, **kwargs)
    seconds = _seconds_of(args[0] if args else kwargs.get("buffer"))
    quantities = {names.AUDIO_INPUT_SECONDS: seconds} if seconds else None
    request = request_of_recogniser(recogniser, is_stream=False, quantities=quantities)
    with offered(offer_by_framework(request if seconds else first_part(request), context)):
        return await wrapped(*args, **kwargs)


@quietly
def _seconds_of(buffer: Any) -> float:
    frames = buffer if isinstance(buffer, list) else [buffer]
    return sum(frame.samples_per_channel / frame.sample_rate for frame in frames)
