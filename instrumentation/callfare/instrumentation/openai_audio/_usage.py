"""Billed quantities read from OpenAI's audio requests and answers. Pure.

Speech is billed by characters (tts-1) or by tokens (gpt-4o-mini-tts); only the SSE form of the answer states
tokens, so characters and the seconds of audio that came back are recorded as well. Transcription is billed by
seconds (whisper-1) or tokens; plain-text answers state neither, so the upload is measured (`_upload`).
"""

import base64
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = [
    "field",
    "speech_in_events",
    "speech_request",
    "transcription_request",
    "usage_in_body",
    "usage_quantities",
]


def field(holder: Any, name: str) -> Any:
    """A field of an SDK object or of plain JSON; None where it is absent."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _provider(resource: Any) -> tuple[str, dict[str, AttributeValue]]:
    """The provider: Azure by the class of its client, other vendors with this API by the host."""
    client = getattr(resource, "_client", None)
    provider = "azure" if type(client).__name__.endswith("AzureOpenAI") else "openai"
    host = getattr(getattr(client, "base_url", None), "host", "")
    return provider, {names.SERVER_ADDRESS: str(host or "")}


def speech_request(resource: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`audio.speech.create(input=..., model=..., voice=...)`."""
    provider, attributes = _provider(resource)
    text = kwargs.get("input")
    voice = kwargs.get("voice")
    return CallRequest(
        operation="text_to_speech",
        provider=provider,
        model=_text(kwargs.get("model")),
        quantities={names.INPUT_CHARACTERS: len(text)} if isinstance(text, str) else {},
        attributes={**attributes, names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: _text(voice)},
    )


def transcription_request(resource: Any, kwargs: Mapping[str, Any], seconds: Decimal | None) -> CallRequest:
    """`audio.transcriptions.create(file=..., model=...)` and `audio.translations.create`; `seconds` of the file."""
    provider, attributes = _provider(resource)
    return CallRequest(
        operation="speech_to_text",
        provider=provider,
        model=_text(kwargs.get("model")),
        quantities={} if seconds is None else {names.AUDIO_INPUT_SECONDS: seconds},
        source="client",
        attributes={
            **attributes,
            names.REQUEST_STREAM: kwargs.get("stream") is True,
            names.SPEECH_INPUT_LANGUAGE: _text(kwargs.get("language")),
        },
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def usage_quantities(holder: Any, *, output_is_audio: bool) -> dict[str, Amount]:
    """Quantities of an answer, event or JSON object that may carry `usage` or `duration`."""
    usage = field(holder, "usage")
    found: dict[str, Amount] = {}
    seconds = field(usage, "seconds") if usage is not None else None
    if seconds is None:
        seconds = field(holder, "duration")
    _put(found, names.AUDIO_INPUT_SECONDS, _exact(seconds))
    if usage is None:
        return found
    _put(found, names.INPUT_TOKENS, field(usage, "input_tokens"))
    _put(found, names.OUTPUT_TOKENS, field(usage, "output_tokens"))
    _put(found, names.INPUT_AUDIO_TOKENS, field(field(usage, "input_token_details"), "audio_tokens"))
    if output_is_audio:
        _put(found, names.OUTPUT_AUDIO_TOKENS, found.get(names.OUTPUT_TOKENS))
    return found


def usage_in_body(body: bytes) -> Any:
    """The JSON object with usage in a body: the body itself, or the last event with usage of an SSE stream."""
    if body.lstrip().startswith(b"{"):
        return json.loads(body)
    with_usage = [line for line in body.splitlines() if line.startswith(b"data:") and b'"usage"' in line]
    return json.loads(with_usage[-1].removeprefix(b"data:")) if with_usage else None


def speech_in_events(body: bytes) -> Iterator[bytes]:
    """The sound in an SSE stream of speech, piece by piece; an event that was cut off ends it."""
    for line in body.splitlines():
        if line.startswith(b"data:") and b'"speech.audio.delta"' in line:
            try:
                sound = json.loads(line.removeprefix(b"data:")).get("audio")
            except ValueError:
                return
            yield base64.b64decode(sound)


def _put(found: dict[str, Amount], name: str, amount: Any) -> None:
    if isinstance(amount, (int, Decimal)) and not isinstance(amount, bool) and amount >= 0:
        found[name] = amount


def _exact(seconds: Any) -> Decimal | None:
    return Decimal(str(seconds)) if isinstance(seconds, (int, float, str)) and not isinstance(seconds, bool) else None
