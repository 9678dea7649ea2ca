"""OpenLIT: the conventions with operations of its own (`audio`, `image`) and its own cost.

Counts of Anthropic and Bedrock are exclusive (scopes.py). A stream without usage carries an *estimate* that is not
marked as one (4/6 tokens for 1200/345, measured 1.45.0). It is recognised by the missing cached tokens, which are on
the span if the vendor sent a usage, even if they are 0. A good answer without usage is marked ERROR AttributeError.
Speech has no characters and no seconds, but its text, unless the application keeps content off its spans. The tokens
of a transcription are not split: nearly all of them are audio, which costs more than text.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import JSON_LENGTH_MAX, json_list

__all__ = ["DIALECT"]

_STREAM: Final = "gen_ai.request.stream"
"""Its name since 1.42; the cached tokens are older (1.37)."""
_CACHED: Final = "gen_ai.usage.cache_read.input_tokens"
_MESSAGES: Final = "gen_ai.input.messages"
_TELL_CACHED: Final = frozenset(
    f"openlit.instrumentation.{name}" for name in ("openai", "groq", "azure_ai_inference", "bedrock")
)
_CUT_SHORT: Final = "..."
"""How it ends a text that it cut (`max_content_length`), and how a whole one may end."""


def _complete(reading: Reading) -> None:
    if reading.operation == "text_to_speech":
        _count_characters(reading)
    elif reading.operation == "speech_to_text":
        _take_input_for_audio(reading)
    elif reading.is_stream and reading.scope.name in _TELL_CACHED and _CACHED not in reading.attributes:
        reading.is_estimated = _STREAM in reading.attributes


def _count_characters(reading: Reading) -> None:
    texts = [
        part["content"]
        for message in json_list(reading.whole_text(_MESSAGES, JSON_LENGTH_MAX))
        for part in _members(message, "parts")
        if isinstance(part, dict) and isinstance(part.get("content"), str)
    ]
    if texts:
        reading.quantities.setdefault("characters", sum(map(len, texts)))
        reading.is_estimated = any(text.endswith(_CUT_SHORT) for text in texts)


def _take_input_for_audio(reading: Reading) -> None:
    if "input_tokens" in reading.quantities and "input_audio_tokens" not in reading.quantities:
        reading.quantities["input_audio_tokens"] = reading.quantities["input_tokens"]
        reading.is_estimated = True


def _members(message: object, name: str) -> list[object]:
    found = message.get(name) if isinstance(message, dict) else None
    return found if isinstance(found, list) else []


DIALECT = Dialect(
    name="openlit",
    scopes=("openlit*",),
    keys=frozenset({_STREAM, _MESSAGES}),
    complete=_complete,
)
