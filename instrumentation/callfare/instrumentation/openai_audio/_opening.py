"""The budgets before a connection of OpenAI's SDK opens: where its address names the model, the price is known.

A translation is asked for by the audio of its first report interval. The realtime API is billed by the tokens of each
answer, which nobody knows as the connection opens: it is asked for by the tokens of one interval of sound each way. A
Live session, and a connection that joins a session, learns of its model from the vendor.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Offer
from callfare.calls.running import first_part, interval_seconds, offer_of
from callfare.calls.span import CallRequest
from callfare.calls.wrapping import MakeWrapper, Wrapper
from callfare.guard import quietly
from callfare.instrumentation.openai_audio._events import Listener, listener_of

__all__ = ["Reserving", "async_opening", "conversation_request", "opening", "translation_request"]

_INPUT_TOKENS_PER_SECOND: Final = 10
_OUTPUT_TOKENS_PER_SECOND: Final = 20
"""OpenAI counts a token for each tenth of a second of sound that comes in, and for each twentieth that goes out."""


class Reserving(Listener, Protocol):
    """What listens to a connection that was reserved for."""

    def reserved(self, offer: Offer) -> None:
        """Take over the money."""
        ...


def conversation_request(model: str) -> CallRequest:
    """A realtime conversation, by what one interval of it takes."""
    tokens_in = round(interval_seconds() * _INPUT_TOKENS_PER_SECOND)
    tokens_out = round(interval_seconds() * _OUTPUT_TOKENS_PER_SECOND)
    return CallRequest(
        operation="chat",
        provider="openai",
        model=model,
        quantities={
            names.INPUT_TOKENS: tokens_in,
            names.INPUT_AUDIO_TOKENS: tokens_in,
            names.OUTPUT_TOKENS: tokens_out,
            names.OUTPUT_AUDIO_TOKENS: tokens_out,
        },
        attributes={names.REQUEST_STREAM: True},
        meter=names.SESSION_SECONDS,
    )


def translation_request(model: str) -> CallRequest:
    """A translation, which is billed by the audio that goes in."""
    return CallRequest(
        operation="speech_to_text",
        provider="openai",
        model=model,
        source="client",
        attributes={names.REQUEST_STREAM: True},
        meter=names.AUDIO_INPUT_SECONDS,
    )


def opening(make_listener: Callable[[Tracer], Reserving], request_of: Callable[[str], CallRequest]) -> MakeWrapper:
    """For what a connection's manager is entered by."""

    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            with _reserved(instance, request_of) as offer:
                connection = wrapped(*args, **kwargs)
            _hand_over(connection, offer, make_listener, tracer)
            return connection

        return wrapper

    return make


def async_opening(
    make_listener: Callable[[Tracer], Reserving], request_of: Callable[[str], CallRequest]
) -> MakeWrapper:
    """The same for asyncio."""

    def make(tracer: Tracer) -> Wrapper:
        async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            with _reserved(instance, request_of) as offer:
                connection = await wrapped(*args, **kwargs)
            _hand_over(connection, offer, make_listener, tracer)
            return connection

        return wrapper

    return make


@contextmanager
def _reserved(manager: Any, request_of: Callable[[str], CallRequest]) -> Generator[Offer | None]:
    """Reserve for what connects in here; if it fails to, that goes back. Raises `BudgetExceeded`."""
    model = _model_of(manager)
    offer = offer_of(_opened(request_of(model)), context_api.get_current()) if model else None
    try:
        yield offer
    except BaseException:
        if offer is not None:
            offer.give_back()
        raise


def _opened(request: CallRequest) -> CallRequest:
    """The request as it is asked for: by its quantities, else by its meter."""
    return request if request.quantities else first_part(request)


@quietly
def _model_of(manager: Any) -> str:
    """Return the model that the manager connects to; "" where it names none. The SDK keeps it to itself."""
    found = next((value for name, value in vars(manager).items() if name.endswith("__model")), "")
    return found if isinstance(found, str) else ""


@quietly
def _hand_over(
    connection: Any, offer: Offer | None, make_listener: Callable[[Tracer], Reserving], tracer: Tracer
) -> None:
    if offer is not None:
        listener: Any = listener_of(connection, make_listener, tracer)
        listener.reserved(offer)
