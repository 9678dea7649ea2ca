"""What OpenAI's audio requests and answers say about usage. Pure.

Speech is billed by characters (tts-1) or by tokens (gpt-4o-mini-tts); only the SSE form of the answer states
tokens, so characters and the measurable seconds of audio are recorded as well. Transcription is billed by
seconds (whisper-1) or tokens; plain-text answers state neither, so a WAV upload is measured beforehand.
"""

import io
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from callfare import attributes as names
from callfare.audio import seconds_of_bytes, wav_seconds
from callfare.span import Amount, AttributeValue, Request

__all__ = ["field", "speech_request", "speech_seconds", "transcription_request", "usage_in_body", "usage_quantities"]

_WAV_HEADER_BYTES = 4096
_PCM_BYTES_PER_SECOND: Final = 24_000 * 2
"""OpenAI's `pcm`: 24 kHz, 16 bit, mono (API reference of audio/speech, 2026-11)."""


def field(holder: Any, name: str) -> Any:
    """A field of an SDK object or of plain JSON; None where it is absent."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _provider(resource: Any) -> tuple[str, dict[str, AttributeValue]]:
    """Who is asked: an Azure client says so by its class; the host tells apart whoever else speaks this API."""
    client = getattr(resource, "_client", None)
    provider = "azure" if type(client).__name__.endswith("AzureOpenAI") else "openai"
    host = getattr(getattr(client, "base_url", None), "host", "")
    return provider, {names.SERVER_ADDRESS: str(host or "")}


def speech_request(resource: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
    """`audio.speech.create(input=..., model=..., voice=...)`."""
    provider, attributes = _provider(resource)
    text = kwargs.get("input")
    voice = kwargs.get("voice")
    return Request(
        operation="text_to_speech",
        provider=provider,
        model=_text(kwargs.get("model")),
        quantities={names.INPUT_CHARACTERS: len(text)} if isinstance(text, str) else {},
        attributes={**attributes, names.OUTPUT_TYPE: "speech", names.SPEECH_VOICE: _text(voice)},
    )


def transcription_request(resource: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
    """`audio.transcriptions.create(file=..., model=...)` and `audio.translations.create`."""
    provider, attributes = _provider(resource)
    seconds = _upload_seconds(kwargs.get("file"))
    return Request(
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


def _upload_seconds(upload: Any) -> Decimal | None:
    """Seconds of a WAV upload in any form the SDK takes, left exactly as it was found; None for other audio."""
    if isinstance(upload, tuple) and len(upload) > 1:
        upload = upload[1]
    if isinstance(upload, (bytes, bytearray)):
        return wav_seconds(bytes(upload[:_WAV_HEADER_BYTES]), len(upload))
    if isinstance(upload, os.PathLike):
        path = Path(upload)
        with path.open("rb") as file:
            return wav_seconds(file.read(_WAV_HEADER_BYTES), path.stat().st_size)
    if isinstance(upload, io.IOBase) and upload.seekable():
        return _file_seconds(upload)
    return None


def _file_seconds(file: Any) -> Decimal | None:
    position = file.tell()
    try:
        start = file.read(_WAV_HEADER_BYTES)
        total = file.seek(0, os.SEEK_END) - position
    finally:
        file.seek(position)
    return wav_seconds(start, total) if isinstance(start, bytes) else None


def speech_seconds(response_format: str, start: bytes, total_bytes: int) -> Decimal | None:
    """Seconds of an answer of so many bytes; None for compressed formats, which only a decoder could measure."""
    if response_format == "pcm":
        return seconds_of_bytes(total_bytes, _PCM_BYTES_PER_SECOND)
    return wav_seconds(start, total_bytes) if response_format == "wav" else None


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


def _put(found: dict[str, Amount], name: str, amount: Any) -> None:
    if isinstance(amount, (int, Decimal)) and not isinstance(amount, bool) and amount >= 0:
        found[name] = amount


def _exact(seconds: Any) -> Decimal | None:
    return Decimal(str(seconds)) if isinstance(seconds, (int, float, str)) and not isinstance(seconds, bool) else None
