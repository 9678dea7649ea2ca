"""Billed quantities read from Cartesia's requests and answers. Pure: no OpenTelemetry, no SDK.

Cartesia bills credits: one a character of speech, 300 and one a character for infill, one to three a second of
audio for recognition, silence included, and fifteen a second of what goes into the voice changer. Its answers state
no usage but the `duration` of a transcription, so what was sent is what counts. Errors cost nothing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from callfare import attributes as names
from callfare.audio.duration import bytes_per_second, wav_seconds
from callfare.calls.span import AttributeValue, CallRequest

__all__ = [
    "PROVIDER",
    "conversion_request",
    "infill_request",
    "socket_request",
    "speech_request",
    "stream_bytes_per_second",
    "stream_parameters",
    "transcribe_request",
    "transcribed_seconds",
]

PROVIDER = "cartesia"
_INFILL_CREDITS = 300  # docs.cartesia.ai/pricing, and the SDK's own docstring of `infill`
_INFILL_DEFAULT = "sonic"  # the family: `infill` may name no model, and a credit costs the same with each
_VOICE_CHANGER = "voice-changer"  # it has no model


def speech_request(parameters: Mapping[str, Any], *, is_stream: bool) -> CallRequest | None:
    """Speech, over HTTP or as the first message of a context on a socket."""
    transcript = parameters.get("transcript")
    characters = len(transcript) if isinstance(transcript, str) else 0
    attributes: dict[str, AttributeValue] = {
        names.REQUEST_STREAM: is_stream,
        names.OUTPUT_TYPE: "speech",
        names.SPEECH_VOICE: _voice(parameters.get("voice")),
    }
    return CallRequest(
        operation="text_to_speech",
        provider=PROVIDER,
        model=_text(parameters.get("model_id")),
        quantities={names.INPUT_CHARACTERS: characters},
        attributes=attributes,
    )


def infill_request(parameters: Mapping[str, Any]) -> CallRequest | None:
    """Infill, in credits: its fixed part cannot be expressed in characters."""
    transcript = parameters.get("transcript")
    if not isinstance(transcript, str):
        return None
    return CallRequest(
        operation="text_to_speech",
        provider=PROVIDER,
        model=_text(parameters.get("model_id")) or _INFILL_DEFAULT,
        quantities={names.BILLED_QUANTITY: _INFILL_CREDITS + len(transcript)},
        attributes={
            names.BILLED_UNIT: "credit",
            names.REQUEST_STREAM: False,
            names.OUTPUT_TYPE: "speech",
            names.SPEECH_VOICE: _text(parameters.get("voice_id")),
        },
    )


def conversion_request(parameters: Mapping[str, Any], seconds: Decimal | None) -> CallRequest:
    """The voice changer, by the audio that goes in."""
    return CallRequest(
        operation="speech_to_speech",
        provider=PROVIDER,
        model=_VOICE_CHANGER,
        source="client",
        quantities={} if seconds is None else {names.AUDIO_INPUT_SECONDS: seconds},
        attributes={names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: _text(parameters.get("voice_id"))},
    )


def transcribe_request(parameters: Mapping[str, Any]) -> CallRequest:
    """Recorded audio; a WAV file has its own length, in case the answer has none."""
    file = parameters.get("file")
    body = file[1] if isinstance(file, tuple) and len(file) > 1 else file
    seconds = wav_seconds(body[:4096], len(body)) if isinstance(body, bytes) else None
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=_text(parameters.get("model")),
        source="client",
        quantities={} if seconds is None else {names.AUDIO_INPUT_SECONDS: seconds},
        attributes={names.REQUEST_STREAM: False, names.SPEECH_INPUT_LANGUAGE: _text(parameters.get("language"))},
    )


def transcribed_seconds(answer: object) -> Decimal | None:
    """The vendor's duration, where it states one."""
    duration = getattr(answer, "duration", None)
    return Decimal(str(duration)) if isinstance(duration, (int, float)) else None


def stream_parameters(url: str) -> dict[str, Any]:
    """What a recognition socket's address says."""
    return dict(parse_qsl(urlsplit(url).query))


def socket_request(parameters: Mapping[str, Any]) -> CallRequest:
    """A recognition socket."""
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=_text(parameters.get("model")),
        source="client",
        meter=names.AUDIO_INPUT_SECONDS,
        attributes={names.REQUEST_STREAM: True, names.SPEECH_INPUT_LANGUAGE: _text(parameters.get("language"))},
    )


def stream_bytes_per_second(parameters: Mapping[str, Any]) -> int | None:
    """Bytes of one second of the audio on the socket."""
    rate_hz = str(parameters.get("sample_rate", ""))
    return bytes_per_second(_text(parameters.get("encoding")), int(rate_hz) if rate_hz.isdecimal() else 0)


def _voice(voice: object) -> str:
    return _text(voice.get("id")) if isinstance(voice, Mapping) else _text(voice)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
