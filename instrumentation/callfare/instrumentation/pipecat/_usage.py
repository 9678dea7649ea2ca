"""What Pipecat's usage metrics say. Pure.

Providers go by the package of the service's class. Token counts are made inclusive: Pipecat passes on the vendor's
own prompt count, which for Anthropic and Bedrock leaves the cached tokens out (docstring of `LLMTokenUsage`).
"""

import re
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, CallRequest

__all__ = [
    "audio_seconds",
    "connection_of",
    "context_length",
    "costs_nothing_on_error",
    "is_connected",
    "is_on_socket",
    "is_segmented",
    "provider_of",
    "request_of",
    "seconds_of",
    "token_quantities",
]

_SUFFIX = re.compile(r"(Http|WebSocket|Websocket|Flux|Segmented|Realtime|Responses)*(TTS|STT|LLM)Service$")
_PACKAGE = re.compile(r"pipecat\.services\.(\w+)\.")
_SECONDS_DIGITS = 6
_TEXT_MEMBERS = frozenset({"content", "text", "tool_calls", "function", "arguments", "name"})
"""Of a message: an image and sound are long, and no text."""
_EXCLUSIVE = ("Anthropic", "Bedrock")
_FREE_ERRORS = frozenset({"cartesia"})
"""docs.cartesia.ai/pricing."""


def request_of(service: Any, operation: str) -> CallRequest:
    """The request of a service, without quantities: those come as metrics."""
    return CallRequest(operation=operation, provider=provider_of(service), model=_model(service), source="client")


def provider_of(service: Any) -> str:
    """By the package of Pipecat's class: `pipecat.services.elevenlabs.tts` -> `elevenlabs`.

    A service written by the application goes by its name: `DeepgramSTTService` -> `deepgram`.
    """
    for kind in type(service).__mro__:
        package = _PACKAGE.match(kind.__module__)
        if package is not None:
            return package[1]
    return _SUFFIX.sub("", type(service).__name__).lower()


def _model(service: Any) -> str:
    metrics = getattr(service, "_metrics", None)
    core = getattr(metrics, "_core_metrics_data", None)
    for found in (getattr(core, "model", None), getattr(getattr(service, "_settings", None), "model", None)):
        if isinstance(found, str) and found:
            return found
    return ""


def audio_seconds(usage: Any) -> Decimal:
    """Seconds received, to the microsecond.

    A sum of floats has a digit too many, for which a price by started seconds would charge another second.
    """
    return round(Decimal(str(usage.audio_seconds)), _SECONDS_DIGITS)


def seconds_of(byte_count: int, sample_rate: int) -> Decimal:
    """Seconds of 16-bit sound of one channel, as Pipecat counts it."""
    return round(Decimal(byte_count) / (sample_rate * 2), _SECONDS_DIGITS)


def is_on_socket(service: Any) -> bool:
    """Whether a speaker hands over its text on a socket, and gets the audio later."""
    return any(kind.__name__ == "WebsocketTTSService" for kind in type(service).__mro__)


def costs_nothing_on_error(service: Any) -> bool:
    """Whether the vendor documents that it charges nothing for what it answers by an error."""
    return provider_of(service) in _FREE_ERRORS


def is_segmented(service: Any) -> bool:
    """Whether a recogniser sends one request for each piece of speech."""
    return any(kind.__name__ == "SegmentedSTTService" for kind in type(service).__mro__)


def connection_of(service: Any) -> object:
    """The connection of a recogniser, as far as it is to be seen; another object after it was lost."""
    for name in ("_websocket", "_connection"):
        connection = getattr(service, name, None)
        if connection is not None:
            return connection
    return None


def is_connected(service: Any) -> bool | None:
    """Whether a recogniser has a connection that takes audio; None where that is not to be seen."""
    kinds = {kind.__name__ for kind in type(service).__mro__}
    if "SegmentedSTTService" in kinds:
        return True
    if "WebsocketService" in kinds:
        socket = getattr(service, "_websocket", None)
        state = getattr(getattr(socket, "state", None), "name", None)
        return False if socket is None else None if state is None else state == "OPEN"
    if "DeepgramSTTService" in kinds and hasattr(service, "_connection"):
        return bool(service._connection)  # noqa: SLF001 - the SDK's socket, None while there is none
    return None


def context_length(context: Any) -> int:
    """Code points of all text that a model is asked with: messages, and the calls of tools and their results."""
    return sum(_text_length(message) for message in context.get_messages())


def _text_length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(_text_length(part) for part in content)
    if isinstance(content, dict):
        return sum(_text_length(part) for name, part in content.items() if name in _TEXT_MEMBERS)
    return 0


def token_quantities(service: Any, usage: Any) -> dict[str, Amount]:
    """Inclusive token counts of one model call."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    is_exclusive = any(word in kind.__name__ for kind in type(service).__mro__ for word in _EXCLUSIVE)
    stated = {
        names.INPUT_TOKENS: usage.prompt_tokens + (read + written if is_exclusive else 0),
        names.OUTPUT_TOKENS: usage.completion_tokens,
        names.CACHE_READ_TOKENS: usage.cache_read_input_tokens,
        names.CACHE_WRITE_TOKENS: usage.cache_creation_input_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
        names.INPUT_AUDIO_TOKENS: getattr(usage, "input_audio_tokens", None),
        names.OUTPUT_AUDIO_TOKENS: getattr(usage, "output_audio_tokens", None),
        names.CACHE_AUDIO_READ_TOKENS: getattr(usage, "cache_read_input_audio_tokens", None),
    }
    return {name: amount for name, amount in stated.items() if isinstance(amount, int)}
