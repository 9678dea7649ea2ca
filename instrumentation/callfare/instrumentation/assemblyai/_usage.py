"""What AssemblyAI's answers say about the bill. Pure: no OpenTelemetry, no SDK.

Recorded audio is billed by its seconds once the transcript is complete, and not at all where it failed. A stream
is billed by the time the socket is open, which AssemblyAI states in the `Termination` that a client must ask for:
a stream that is only dropped stays open on their side, and is billed, for up to three hours. Speech is billed by
characters, which the answer's headers state.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from callfare import attributes as names
from callfare.span import AttributeValue, Request

__all__ = [
    "PROVIDER",
    "Transcript",
    "request_of_transcript",
    "speech_request",
    "stream_request",
    "sync_request",
    "transcript_of",
]

PROVIDER = "assemblyai"
_STREAMING_DEFAULT = "universal-streaming"  # what `speech_model` is where the address names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A finished transcript."""

    transcript_id: str
    has_failed: bool
    seconds: Decimal | None
    channels: int | None
    model: str
    language: str


def transcript_of(response: Any) -> Transcript | None:
    """Read a `TranscriptResponse`; None while it is queued or processing."""
    status = _text(getattr(response, "status", None))
    if status not in ("completed", "error"):
        return None
    duration = getattr(response, "audio_duration", None)
    channels = getattr(response, "audio_channels", None)
    return Transcript(
        transcript_id=_text(getattr(response, "id", None)),
        has_failed=status == "error",
        seconds=None if duration is None else Decimal(str(duration)),
        channels=channels if isinstance(channels, int) else None,
        model=_text(getattr(response, "speech_model_used", None)) or _text(getattr(response, "speech_model", None)),
        language=_text(getattr(response, "language_code", None)),
    )


def request_of_transcript(transcript: Transcript) -> Request:
    """The span of a finished transcript."""
    quantities: dict[str, Decimal | int] = {}
    attributes: dict[str, AttributeValue] = {
        names.REQUEST_STREAM: False,
        names.RESPONSE_ID: transcript.transcript_id,
        names.SPEECH_INPUT_LANGUAGE: transcript.language,
    }
    if transcript.has_failed:
        attributes[names.CALL_REFUSED] = True  # "failed transcripts are not billed" (billing and pricing page)
    elif transcript.seconds is None:
        attributes[names.USAGE_SOURCE] = "unknown"
    else:
        quantities[names.AUDIO_INPUT_SECONDS] = transcript.seconds
        if transcript.channels:
            quantities[names.AUDIO_CHANNELS] = transcript.channels
    return Request(
        operation="speech_to_text",
        provider=PROVIDER,
        model=transcript.model,
        source="vendor_body",
        quantities=quantities,
        attributes=attributes,
    )


def stream_request(url: str) -> Request:
    """A streaming socket, from its address."""
    parameters = dict(parse_qsl(urlsplit(url).query))
    return Request(
        operation="speech_to_text",
        provider=PROVIDER,
        model=parameters.get("speech_model") or _STREAMING_DEFAULT,
        source="client",
        attributes={names.REQUEST_STREAM: True, names.SPEECH_INPUT_LANGUAGE: parameters.get("language", "")},
    )


def sync_request() -> Request:
    """The synchronous API: one answer to one upload."""
    return Request(
        operation="speech_to_text", provider=PROVIDER, model="sync", attributes={names.REQUEST_STREAM: False}
    )


def speech_request(text: object, voice: object, *, is_stream: bool) -> Request | None:
    """Speech over HTTP."""
    if not isinstance(text, str):
        return None
    return Request(
        operation="text_to_speech",
        provider=PROVIDER,
        model="assemblyai-tts-1",
        quantities={names.INPUT_CHARACTERS: len(text)},
        attributes={
            names.REQUEST_STREAM: is_stream,
            names.OUTPUT_TYPE: "speech",
            names.SPEECH_VOICE: _text(voice),
        },
    )


def _text(value: Any) -> str:
    """Strings, and the SDK's enumerations, which are strings as well."""
    return str(getattr(value, "value", value)) if isinstance(value, str) else ""
