"""The billed quantities of Azure's speech requests and results. Pure: no OpenTelemetry, no SDK.

Synthesis is billed by characters; of SSML everything counts but the `<speak>` and `<voice>` tags, and each Chinese
character counts twice, in whatever language (billable characters, Microsoft's text-to-speech overview, 2026-11).
Recognition is billed by audio, silence included, while results only have the positions of utterances. So audio that
was pushed is counted; without pushed audio the end of the last utterance is a lower bound.
"""

import re
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.audio.duration import bytes_per_second
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = ["PROVIDER", "recognition_request", "seconds_until_end", "ssml_request", "stream_rate", "text_request"]

PROVIDER = "azure"
_RECOGNITION, _SYNTHESIS = "speech", "neural"
"""Names of the price list, where the SDK names no model: Azure's default voices are neural."""
_WRAPPER = re.compile(r"</?(?:speak|voice)\b[^>]*>")
_VOICE = re.compile(r"<voice\b[^>]*\bname\s*=\s*[\"']([^\"']+)[\"']")
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f\U00030000-\U000323af]")
"""Hanzi, kanji and hanja; kana and hangul are counted once."""
_TICKS = 10_000_000


def text_request(text: object, voice: str) -> CallRequest:
    """Synthesis of plain text."""
    return _synthesis(text if isinstance(text, str) else "", voice)


def ssml_request(ssml: object) -> CallRequest:
    """Synthesis of SSML, which names its voice itself."""
    text = ssml if isinstance(ssml, str) else ""
    voice = _VOICE.search(text)
    return _synthesis(_WRAPPER.sub("", text), voice[1] if voice else "")


def _synthesis(text: str, voice: str) -> CallRequest:
    quantities: dict[str, Amount] = {names.INPUT_CHARACTERS: len(text)}
    attributes: dict[str, AttributeValue] = {
        names.REQUEST_STREAM: False,
        names.OUTPUT_TYPE: "speech",
        names.SPEECH_VOICE: voice,
    }
    chinese = len(_CHINESE.findall(text))
    if chinese:
        quantities[names.BILLED_QUANTITY] = len(text) + chinese
        attributes[names.BILLED_UNIT] = "character"
    return CallRequest(
        operation="text_to_speech",
        provider=PROVIDER,
        model=voice or _SYNTHESIS,
        quantities=quantities,
        attributes=attributes,
    )


def recognition_request(language: str, *, is_stream: bool) -> CallRequest:
    """Recognition of one utterance, or of a stream. Both are in real time: batches, which cost less, are no SDK's."""
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=_RECOGNITION,
        source="client",
        attributes={names.SPEECH_INPUT_LANGUAGE: language, **({names.REQUEST_STREAM: True} if is_stream else {})},
        meter=names.AUDIO_INPUT_SECONDS,
    )


def seconds_until_end(result: Any) -> Decimal:
    """Seconds of audio up to the end of the utterance."""
    ticks = int(getattr(result, "offset", 0) or 0) + int(getattr(result, "duration", 0) or 0)
    return Decimal(ticks) / _TICKS


def stream_rate(
    samples_per_second: int | None = None, bits_per_sample: int = 16, channels: int = 1, *rest: Any, **formats: Any
) -> int | None:
    """Bytes of one second of a push stream; arguments as of `AudioStreamFormat`. None for compressed ones."""
    if rest or formats:
        return None
    encoding = {8: "pcm_u8", 16: "pcm", 24: "pcm_s24le", 32: "pcm_s32le"}.get(bits_per_sample, "")
    return bytes_per_second(encoding, samples_per_second or 16_000, channels)
