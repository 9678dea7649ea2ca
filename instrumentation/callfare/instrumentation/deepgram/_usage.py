"""Billed quantities read from Deepgram's requests and answers. Pure: no OpenTelemetry, no SDK.

Deepgram bills audio seconds (times channels where `multichannel` is on) and, for speech, characters. Its own
figures are `metadata.duration` of a transcription, the closing `Metadata` of a socket, the `dg-char-count` header
and Flux's `billable_character_count`.
"""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from callfare import attributes as names
from callfare.audio.duration import bytes_per_second, wav_header, wav_seconds
from callfare.audio.meter import AudioMeter
from callfare.calls.extras import requested_extras
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = [
    "AGENT",
    "LISTEN",
    "PROVIDER",
    "SPEAK",
    "Transcribed",
    "audio_covered",
    "billed_channels",
    "file_request",
    "socket_kind",
    "socket_parameters",
    "socket_request",
    "speech_request",
    "stream_bytes_per_second",
    "transcribed",
]

PROVIDER = "deepgram"
LISTEN, SPEAK, AGENT = "speech_to_text", "text_to_speech", "voice_agent"
_DEFAULT_SPEECH_RATE_HZ = 24_000  # "linear16 at 24 kHz" (speak streaming reference, seen 2026-11)
_METERS = {LISTEN: names.AUDIO_INPUT_SECONDS, AGENT: names.SESSION_SECONDS}
_WAV_HEADER_BYTES = 4096
_TRUE = ("true", "True", True)
_CHARGED = (
    "diarize", "diarize_model", "redact", "keyterm", "detect_entities", "summarize", "topics", "intents", "sentiment",
)  # fmt: skip
"""Add-ons and audio intelligence, charged by the minute or by tokens (pricing page, 2026-11)."""


def socket_kind(url: str) -> str:
    """Which service a socket's address names: `wss://api.deepgram.com/v1/listen?...`."""
    path = urlsplit(url).path
    if "/speak" in path:
        return SPEAK
    return LISTEN if "/listen" in path else AGENT


def socket_parameters(url: str) -> dict[str, Any]:
    """What a socket's address says: model, encoding and so on."""
    return dict(parse_qsl(urlsplit(url).query))


def socket_request(kind: str, parameters: Mapping[str, Any]) -> CallRequest:
    """A socket for speech recognition, synthesis or a whole agent."""
    attributes: dict[str, AttributeValue] = {names.REQUEST_STREAM: True}
    if kind == LISTEN:
        attributes[names.SPEECH_INPUT_LANGUAGE] = _text(parameters.get("language"))
        attributes[names.PAID_EXTRAS] = requested_extras(_CHARGED, parameters.get)
    if kind == SPEAK:
        attributes[names.OUTPUT_TYPE] = "speech"
    model = "voice-agent" if kind == AGENT else _model(parameters)
    return CallRequest(
        operation=kind,
        provider=PROVIDER,
        model=model,
        source="client",
        attributes=attributes,
        meter=_METERS.get(kind, ""),
        channels=billed_channels(parameters),
    )


def stream_bytes_per_second(kind: str, parameters: Mapping[str, Any]) -> int | None:
    """Bytes of one second of the audio that goes over a socket; None for containers such as WebM."""
    rate_hz = _whole(parameters.get("sample_rate"))
    encoding = _text(parameters.get("encoding"))
    if kind == SPEAK:
        return bytes_per_second(encoding or "linear16", rate_hz or _DEFAULT_SPEECH_RATE_HZ)
    return bytes_per_second(encoding, rate_hz, _whole(parameters.get("channels")) or 1)


def billed_channels(parameters: Mapping[str, Any], reported: int | None = None) -> int:
    """Channels that are billed: each with `multichannel`, else a stereo stream is billed once."""
    if not _is_multichannel(parameters):
        return 1
    return reported or _whole(parameters.get("channels")) or 1


def _is_multichannel(parameters: Mapping[str, Any]) -> bool:
    return parameters.get("multichannel") in _TRUE


def file_request(kind: str, body: object, parameters: Mapping[str, Any]) -> CallRequest:
    """`kind` is `url` or `file`; a WAV file has its length, anything else waits for the answer."""
    return CallRequest(
        operation=LISTEN,
        provider=PROVIDER,
        model=_model(parameters),
        source="client",
        quantities=_measured(body, parameters) if kind == "file" and isinstance(body, bytes) else {},
        attributes={
            names.REQUEST_STREAM: False,
            names.SPEECH_INPUT_LANGUAGE: _text(parameters.get("language")),
            names.PAID_EXTRAS: requested_extras(_CHARGED, parameters.get),
        },
    )


def _measured(body: bytes, parameters: Mapping[str, Any]) -> dict[str, Amount]:
    """Seconds and billed channels of a file, if it has both.

    Compressed audio is read through only where no answer will state its length, and has no channels to multiply by.
    """
    header = wav_header(body[:_WAV_HEADER_BYTES])
    if header is not None:
        seconds, channels = wav_seconds(body[:_WAV_HEADER_BYTES], len(body)), header.channels
    elif parameters.get("callback") and not _is_multichannel(parameters):
        meter = AudioMeter()
        meter.feed(body)
        seconds, channels = meter.seconds(), 1
    else:
        return {}
    if seconds is None:
        return {}
    return {names.AUDIO_INPUT_SECONDS: seconds, names.AUDIO_CHANNELS: billed_channels(parameters, channels)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribed:
    """Usage in the answer to a pre-recorded transcription."""

    response_id: str
    seconds: Decimal | None
    channels: int
    model: str
    """The model that answered: used only where the request named none, as it has another spelling."""


def transcribed(answer: object) -> Transcribed:
    """Read `metadata`; a request with `callback=` is answered by its id alone.

    `results.channels` lists more than one only under `multichannel`, which is when each is billed.
    """
    metadata = getattr(answer, "metadata", None)
    duration = getattr(metadata, "duration", None)
    channels = getattr(getattr(answer, "results", None), "channels", None)
    return Transcribed(
        response_id=_text(getattr(metadata, "request_id", None) or getattr(answer, "request_id", None)),
        seconds=None if duration is None else Decimal(str(duration)),
        channels=max(1, len(channels)) if isinstance(channels, Sized) else 1,
        model=_architecture(getattr(metadata, "model_info", None)),
    )


def _architecture(model_info: object) -> str:
    """`{"<id>": {"name": "2-general-nova", "arch": "nova-2"}}` -> `nova-2`."""
    if not isinstance(model_info, Mapping):
        return ""
    for model in model_info.values():
        arch = model.get("arch") if isinstance(model, Mapping) else getattr(model, "arch", None)
        if arch:
            return _text(arch)
    return ""


def speech_request(text: object, parameters: Mapping[str, Any]) -> CallRequest | None:
    """Speech over HTTP."""
    if not isinstance(text, str):
        return None
    model = _text(parameters.get("model"))
    return CallRequest(
        operation=SPEAK,
        provider=PROVIDER,
        model=model,
        quantities={names.INPUT_CHARACTERS: len(text)},
        attributes={names.REQUEST_STREAM: False, names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: model},
    )


def audio_covered(message: Mapping[str, Any]) -> tuple[int, Decimal] | None:
    """Channel and end of the audio that a result or turn covers: a lower bound of the audio, for containers."""
    if message.get("type") == "Results":
        channel = next(iter(message.get("channel_index") or [0]), 0)
        return int(channel), Decimal(str(message.get("start") or 0)) + Decimal(str(message.get("duration") or 0))
    if message.get("type") == "TurnInfo":
        return 0, Decimal(str(message.get("audio_window_end") or 0))
    return None


def _model(parameters: Mapping[str, Any]) -> str:
    """The model as it is priced: Nova-3 costs more where `language=multi` (pricing page, 2026-11)."""
    model = _text(parameters.get("model"))
    is_multilingual = parameters.get("language") == "multi" and model in {"nova-3", "nova-3-general"}
    return "nova-3-multilingual" if is_multilingual else model


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    try:
        return int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0
