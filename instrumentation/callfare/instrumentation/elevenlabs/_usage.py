"""Billed quantities read from ElevenLabs' requests and answers. Pure.

Speech is billed by characters: code points of the text as it was sent, blanks and punctuation included. The
answer's `character-cost` header is the vendor's own meter, in credits; the websocket route has none. Speech to
text is billed by audio time, which the answer states, for each channel that is transcribed by itself.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from callfare import attributes as names
from callfare.audio.duration import format_bytes_per_second, seconds_of_bytes, wav_header, wav_seconds
from callfare.calls.extras import requested_extras
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = [
    "audio_rate",
    "conversation_request",
    "conversion_request",
    "credits_of",
    "dialogue_request",
    "effect_request",
    "listen_request",
    "realtime_speech_request",
    "seconds_of_bytes",
    "speech_request",
    "transcribed_channels",
    "transcribed_seconds",
    "transcription_request",
]

# Models the API takes where the request names none (API reference, seen 2026-11-22).
_SPEECH_MODEL_DEFAULT: Final = "eleven_multilingual_v2"
_DIALOGUE_MODEL_DEFAULT: Final = "eleven_v3"
_EFFECT_MODEL_DEFAULT: Final = "eleven_text_to_sound_v2"
_CONVERSION_MODEL_DEFAULT: Final = "eleven_english_sts_v2"
_AGENT: Final = "conversational-ai"
_CHAT_AGENT: Final = "conversational-ai-chat"
_FORMAT_DEFAULT: Final = "mp3_44100_128"
_WAV_HEADER_BYTES = 4096
_SURCHARGED: Final = ("keyterms", "entity_detection", "detect_speaker_roles", "transcript_edit")
"""Each adds 10 to 30 % to the price of a transcription (the SDK's own docstrings, 2.78)."""


def speech_request(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`text_to_speech.convert`, `stream` and their twins with timestamps: `(voice_id, *, text, model_id, ...)`."""
    text = _text(kwargs.get("text"))
    return _request(client, _model(kwargs, _SPEECH_MODEL_DEFAULT), len(text), _voice(args, kwargs))


def realtime_speech_request(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`text_to_speech.convert_realtime`: the text comes piece by piece and is counted as it is sent."""
    return _request(client, _model(kwargs, ""), 0, _voice(args, kwargs))


def dialogue_request(client: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`text_to_dialogue`: the texts of all speakers together."""
    inputs: Any = kwargs.get("inputs")
    lines: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else ()
    texts = [line.get("text") if isinstance(line, Mapping) else getattr(line, "text", "") for line in lines]
    return _request(client, _model(kwargs, _DIALOGUE_MODEL_DEFAULT), sum(len(_text(text)) for text in texts), "")


def effect_request(client: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`text_to_sound_effects.convert`: billed in credits, not by its text; seconds asked for where stated."""
    seconds = kwargs.get("duration_seconds")
    quantities: dict[str, Amount] = {"callfare.usage.requests": 1}
    if isinstance(seconds, (int, float)):
        quantities[names.AUDIO_OUTPUT_SECONDS] = Decimal(str(seconds))
    return CallRequest(
        operation="sound_generation",
        provider="elevenlabs",
        model=_model(kwargs, _EFFECT_MODEL_DEFAULT),
        quantities=quantities,
        attributes=_host(client),
    )


def conversion_request(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`speech_to_speech`: billed by the audio that goes in."""
    return CallRequest(
        operation="speech_to_speech",
        provider="elevenlabs",
        model=_model(kwargs, _CONVERSION_MODEL_DEFAULT),
        quantities=_upload(kwargs.get("audio")),
        source="client",
        attributes={**_host(client), names.SPEECH_VOICE: _voice(args, kwargs)},
    )


def transcription_request(client: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallRequest:
    """`speech_to_text.convert(model_id=..., file=...)`."""
    return CallRequest(
        operation="speech_to_text",
        provider="elevenlabs",
        model=_model(kwargs, ""),
        quantities=_upload(kwargs.get("file")),
        source="client",
        attributes={
            **_host(client),
            names.SPEECH_INPUT_LANGUAGE: _text(kwargs.get("language_code")),
            names.PAID_EXTRAS: requested_extras(_SURCHARGED, kwargs.get),
        },
    )


def listen_request(options: Mapping[str, Any]) -> CallRequest:
    """`speech_to_text.realtime.connect(options)`."""
    return CallRequest(
        operation="speech_to_text",
        provider="elevenlabs",
        model=str(options.get("model_id") or ""),
        meter=names.AUDIO_INPUT_SECONDS,
        attributes={
            names.REQUEST_STREAM: True,
            names.SPEECH_INPUT_LANGUAGE: str(options.get("language_code") or ""),
            names.PAID_EXTRAS: requested_extras(_SURCHARGED, options.get),
        },
    )


def conversation_request(conversation: Any) -> CallRequest:
    """A conversation with an agent; the model is a name of ours, as agents have none that is billed."""
    is_spoken = getattr(conversation, "audio_interface", None) is not None
    return CallRequest(
        operation="voice_agent",
        provider="elevenlabs",
        model=_AGENT if is_spoken else _CHAT_AGENT,
        source="client",
        attributes={names.REQUEST_STREAM: True},
        meter=names.SESSION_SECONDS,
    )


def _request(client: Any, model: str, characters: int, voice: str) -> CallRequest:
    return CallRequest(
        operation="text_to_speech",
        provider="elevenlabs",
        model=model,
        quantities={names.INPUT_CHARACTERS: characters},
        attributes={**_host(client), names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: voice},
    )


def audio_rate(kwargs: Mapping[str, Any]) -> int | None:
    """Bytes a second of the answer's audio, if its format gives it; a text, never the SDK's Ellipsis."""
    return format_bytes_per_second(_text(kwargs.get("output_format")) or _FORMAT_DEFAULT)


def credits_of(headers: Mapping[str, str]) -> Decimal | None:
    """The vendor's own meter, from the `character-cost` header."""
    try:
        stated = Decimal(headers.get("character-cost", ""))
    except InvalidOperation:
        return None
    return stated if stated.is_finite() and stated >= 0 else None


def transcribed_seconds(answer: Any) -> Decimal | None:
    """Seconds of audio a transcription states."""
    seconds = getattr(answer, "audio_duration_secs", None)
    return None if seconds is None else Decimal(str(seconds))


def transcribed_channels(kwargs: Mapping[str, Any], answer: Any) -> int:
    """Channels that were transcribed, each billed for the whole length; 1 unless separate channels were requested.

    A combined transcript names the channel of each word: a silent channel is only in a WAV's header.
    """
    if kwargs.get("use_multi_channel") is not True:
        return 1
    transcripts: Any = getattr(answer, "transcripts", None)
    if isinstance(transcripts, list):
        return max(1, len(transcripts))
    words: Any = getattr(answer, "words", None) or []
    spoken = 1 + max((getattr(word, "channel_index", None) or 0 for word in words), default=0)
    data = _bytes_of(kwargs.get("file"))
    header = None if data is None else wav_header(data[:_WAV_HEADER_BYTES])
    return max(spoken, 1 if header is None else header.channels)


def _upload(upload: Any) -> dict[str, Amount]:
    """Seconds of a WAV upload given as bytes; files are not read, their length is in the answer."""
    data = _bytes_of(upload)
    seconds = None if data is None else wav_seconds(data[:_WAV_HEADER_BYTES], len(data))
    return {} if seconds is None else {names.AUDIO_INPUT_SECONDS: seconds}


def _bytes_of(upload: Any) -> bytes | None:
    data = upload[1] if isinstance(upload, tuple) and len(upload) > 1 else upload
    return bytes(data) if isinstance(data, (bytes, bytearray)) else None


def _host(client: Any) -> dict[str, AttributeValue]:
    wrapper: Any = getattr(client, "_client_wrapper", None)
    if hasattr(wrapper, "get_base_url"):
        base_url = str(wrapper.get_base_url())
    elif hasattr(wrapper, "get_environment"):
        base_url = str(wrapper.get_environment().base)  # up to 2.0
    else:
        base_url = ""
    return {names.SERVER_ADDRESS: base_url.partition("://")[2].partition("/")[0].partition(":")[0]}


def _model(kwargs: Mapping[str, Any], default: str) -> str:
    return _text(kwargs.get("model_id")) or default


def _voice(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return _text(kwargs.get("voice_id") or (args[0] if args else ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
