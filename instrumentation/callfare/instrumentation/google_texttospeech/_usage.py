"""Billed quantities read from Google's synthesis requests. Pure: no OpenTelemetry, no SDK.

Billed by characters, at a price that depends on the voice's tier, which is part of its name: so the voice is the
model, unless the request names a model, as Gemini's voices need. SSML is billed with its tags, but for `<mark>`
(pricing page, 2026-11). Answers carry audio alone.
"""

import re
from typing import Any

from callfare import attributes as names
from callfare.calls.span import CallRequest

__all__ = ["PROVIDER", "characters_of", "model_of", "synthesis_request", "voice_of"]

PROVIDER = "google"
_MARK = re.compile(r"</?mark\b[^>]*>")


def field(message: Any, name: str) -> Any:
    """A field of a message, or of a dictionary in its place."""
    if isinstance(message, dict):
        return message.get(name)
    return getattr(message, name, None)


def characters_of(spoken: Any) -> int:
    """Billed characters of an input, whichever of its forms is used."""
    ssml = field(spoken, "ssml")
    if isinstance(ssml, str) and ssml:
        return len(_MARK.sub("", ssml))
    turns = field(field(spoken, "multi_speaker_markup"), "turns") or ()
    texts = [field(spoken, "text"), field(spoken, "markup"), *(field(turn, "text") for turn in turns)]
    return sum(len(text) for text in texts if isinstance(text, str))


def voice_of(holder: Any) -> str:
    """The voice's name, such as `en-US-Chirp3-HD-Aoede`; "" where only a language was asked for."""
    name = field(field(holder, "voice"), "name")
    return name if isinstance(name, str) else ""


def model_of(holder: Any) -> str:
    """The model that the request names (`gemini-2.5-flash-tts` with the voice `Kore`), else the voice."""
    model = field(field(holder, "voice"), "model_name")
    return model if isinstance(model, str) and model else voice_of(holder)


def synthesis_request(voice: str, characters: int, *, is_stream: bool, model: str = "") -> CallRequest:
    """A synthesis."""
    return CallRequest(
        operation="text_to_speech",
        provider=PROVIDER,
        model=model or voice,
        quantities={names.INPUT_CHARACTERS: characters},
        attributes={names.REQUEST_STREAM: is_stream, names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: voice},
    )
