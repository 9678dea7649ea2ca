"""Billed quantities read from AssemblyAI's answers. Pure: no OpenTelemetry, no SDK.

Recorded audio is billed by its seconds once the transcript is complete, and not at all where it failed. A stream
is billed by the time the socket is open, which AssemblyAI states in the `Termination` that a client must ask for:
a stream that is only dropped stays open on their side, and is billed, for up to three hours. Speech is billed by
characters, which the answer's headers state. Chat completions of the LLM gateway are billed by tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from callfare import attributes as names
from callfare.calls.extras import requested_extras
from callfare.calls.span import AttributeValue, CallRequest

__all__ = [
    "PROVIDER",
    "SPEECH",
    "Transcript",
    "begun_speech",
    "chat_request",
    "request_of_transcript",
    "socket_request",
    "speech_request",
    "tokens_of",
    "transcript_of",
    "upload_request",
]

PROVIDER = "assemblyai"
SPEECH = "text_to_speech"
_SPEECH_PATH = "/v1/ws"
_SPEECH_DEFAULT = "assemblyai-tts-1"
_CHARGED = (
    "speaker_labels", "keyterms_prompt", "domain", "speech_understanding", "llm_gateway", "entity_detection",
    "sentiment_analysis", "iab_categories", "content_safety", "auto_chapters", "auto_highlights", "summarization",
    "redact_pii", "redact_pii_audio", "filter_profanity",
)  # fmt: skip
"""Extras of a transcript or stream at hourly rates of their own (docs/billing-and-pricing, 2026-11)."""
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
    extras: str = ""


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
        extras=requested_extras(_CHARGED, lambda name: getattr(response, name, None)),
    )


def request_of_transcript(transcript: Transcript) -> CallRequest:
    """The span of a finished transcript."""
    quantities: dict[str, Decimal | int] = {}
    attributes: dict[str, AttributeValue] = {
        names.REQUEST_STREAM: False,
        names.RESPONSE_ID: transcript.transcript_id,
        names.SPEECH_INPUT_LANGUAGE: transcript.language,
        names.PAID_EXTRAS: transcript.extras,
    }
    if transcript.has_failed:
        attributes[names.CALL_REFUSED] = True  # "failed transcripts are not billed" (billing and pricing page)
    elif transcript.seconds is None:
        attributes[names.USAGE_SOURCE] = "unknown"
    else:
        quantities[names.AUDIO_INPUT_SECONDS] = transcript.seconds
        if transcript.channels:
            quantities[names.AUDIO_CHANNELS] = transcript.channels
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=transcript.model,
        source="vendor_body",
        quantities=quantities,
        attributes=attributes,
    )


def socket_request(url: str) -> CallRequest:
    """A socket, from its address: one SDK function opens recognisers and speech alike."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    if parts.path.endswith(_SPEECH_PATH):
        return _speech(parameters.get("model_id", ""), parameters.get("voice_id"), 0, is_stream=True)
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=parameters.get("speech_model") or _STREAMING_DEFAULT,
        source="client",
        meter=names.SESSION_SECONDS,
        attributes={
            names.REQUEST_STREAM: True,
            names.SPEECH_INPUT_LANGUAGE: parameters.get("language", ""),
            names.PAID_EXTRAS: requested_extras(_CHARGED, parameters.get),
        },
    )


def begun_speech(request: CallRequest, message: Mapping[str, Any]) -> CallRequest:
    """The same request as the vendor's `Begin` says what it took: model and voice."""
    taken: Mapping[str, Any] = message.get("configuration") or {}
    voice = _text(taken.get("voice_id"))
    attributes = {**request.attributes, names.SPEECH_VOICE: voice} if voice else request.attributes
    return replace(request, model=_text(taken.get("model")) or request.model, attributes=attributes)


def upload_request(model: str) -> CallRequest:
    """One answer to one upload: the synchronous API and dictation, which name no model."""
    return CallRequest(
        operation="speech_to_text", provider=PROVIDER, model=model, attributes={names.REQUEST_STREAM: False}
    )


def speech_request(text: object, voice: object, *, is_stream: bool) -> CallRequest | None:
    """Speech over HTTP."""
    return _speech("", voice, len(text), is_stream=is_stream) if isinstance(text, str) else None


def _speech(model: str, voice: object, characters: int, *, is_stream: bool) -> CallRequest:
    return CallRequest(
        operation=SPEECH,
        provider=PROVIDER,
        model=model or _SPEECH_DEFAULT,
        quantities={names.INPUT_CHARACTERS: characters},
        attributes={
            names.REQUEST_STREAM: is_stream,
            names.OUTPUT_TYPE: "speech",
            names.SPEECH_VOICE: _text(voice),
        },
    )


def chat_request(model: object, *, is_stream: bool) -> CallRequest:
    """A chat completion of the LLM gateway."""
    return CallRequest(
        operation="chat", provider=PROVIDER, model=_text(model), attributes={names.REQUEST_STREAM: is_stream}
    )


def tokens_of(usage: Any) -> dict[str, int]:
    """Tokens of a completion, as the gateway counts them: inclusive, in OpenAI's names."""
    read = getattr(usage, "prompt_tokens_details", None)
    written = getattr(usage, "completion_tokens_details", None)
    found = {
        names.INPUT_TOKENS: getattr(usage, "prompt_tokens", None),
        names.OUTPUT_TOKENS: getattr(usage, "completion_tokens", None),
        names.CACHE_READ_TOKENS: getattr(read, "cached_tokens", None),
        names.CACHE_WRITE_TOKENS: getattr(read, "cache_write_tokens", None),
        names.INPUT_AUDIO_TOKENS: getattr(read, "audio_tokens", None),
        names.REASONING_TOKENS: getattr(written, "reasoning_tokens", None),
        names.OUTPUT_AUDIO_TOKENS: getattr(written, "audio_tokens", None),
    }
    totals = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)
    return {name: count for name, count in found.items() if isinstance(count, int) and (count or name in totals)}


def _text(value: Any) -> str:
    """Strings, and the SDK's enumerations, which are strings as well."""
    return str(getattr(value, "value", value)) if isinstance(value, str) else ""
