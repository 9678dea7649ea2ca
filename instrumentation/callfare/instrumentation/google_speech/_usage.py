"""Billed quantities read from Google's recognition requests and answers. Pure: no OpenTelemetry, no SDK.

The answers state the seconds billed (`total_billed_time` in v1, `metadata.total_billed_duration` in v2), rounded
and with channels already multiplied, so one channel is stated beside them. Where they are silent, the audio that
was sent is what counts. Files cost as much as streams, except dynamic batching, which costs a quarter: only that one
has a mode of its own, as in the price list.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.audio.duration import bytes_per_second, wav_seconds
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = ["PROVIDER", "billed_seconds", "file_request", "stream_rate", "stream_request"]

PROVIDER = "google"


def field(message: Any, name: str) -> Any:
    """A field of a message, or of a dictionary in its place."""
    if isinstance(message, dict):
        return message.get(name)
    return getattr(message, name, None)


def file_request(request: Any, kwargs: dict[str, Any], *, is_batch: bool = False) -> CallRequest:
    """`recognize` and the long-running forms; arguments come as a request or flattened."""
    config = field(request, "config") or kwargs.get("config")
    audio = field(request, "audio") or kwargs.get("audio")
    content = field(audio, "content") or field(request, "content") or kwargs.get("content")
    seconds = None if is_batch else _content_seconds(config, content)
    quantities: dict[str, Amount] = {}
    if seconds is not None:
        quantities = {names.AUDIO_INPUT_SECONDS: seconds, names.AUDIO_CHANNELS: _channels(config)}
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=_model(config),
        source="client",
        quantities=quantities,
        attributes={names.SPEECH_INPUT_LANGUAGE: _language(config), **_price_of_batches(request)},
    )


def _price_of_batches(request: Any) -> dict[str, AttributeValue]:
    strategy = field(request, "processing_strategy")
    is_dynamic = strategy in (1, "DYNAMIC_BATCHING") or _name(strategy) == "DYNAMIC_BATCHING"
    return {names.REQUEST_STREAM: False} if is_dynamic else {}


def stream_request(first: Any) -> CallRequest:
    """A stream, from its first message."""
    config = field(field(first, "streaming_config"), "config")
    return CallRequest(
        operation="speech_to_text",
        provider=PROVIDER,
        model=_model(config),
        source="client",
        attributes={names.REQUEST_STREAM: True, names.SPEECH_INPUT_LANGUAGE: _language(config)},
        meter=names.AUDIO_INPUT_SECONDS,
        channels=_channels(config),
    )


def stream_rate(first: Any) -> int | None:
    """Bytes of one second of a stream's audio."""
    return _rate(field(field(first, "streaming_config"), "config"))


def billed_seconds(answer: Any) -> Decimal | None:
    """The vendor's own figure, where an answer has one. Zero means that it says nothing."""
    for holder in (answer, field(answer, "metadata")):
        for name in ("total_billed_time", "total_billed_duration"):
            seconds = _seconds(field(holder, name))
            if seconds:
                return seconds
    return None


def _seconds(duration: Any) -> Decimal | None:
    if isinstance(duration, timedelta):
        return Decimal(duration.days * 86_400 + duration.seconds) + Decimal(duration.microseconds) / 1_000_000
    seconds = getattr(duration, "seconds", None)
    if not isinstance(seconds, int):
        return None
    return Decimal(seconds) + Decimal(getattr(duration, "nanos", 0)) / 1_000_000_000


def _content_seconds(config: Any, content: Any) -> Decimal | None:
    if not isinstance(content, bytes) or not content:
        return None
    seconds = wav_seconds(content[:4096], len(content))
    if seconds is not None:
        return seconds
    rate = _rate(config)
    return None if rate is None else Decimal(len(content)) / rate


def _decoding(config: Any) -> Any:
    """v2 keeps the encoding one level deeper."""
    return field(config, "explicit_decoding_config") or config


def _rate(config: Any) -> int | None:
    decoding = _decoding(config)
    encoding = field(decoding, "encoding")
    channels = field(decoding, "audio_channel_count") or 1
    return bytes_per_second(_name(encoding), field(decoding, "sample_rate_hertz") or 0, channels)


def _channels(config: Any) -> int:
    is_separate = field(config, "enable_separate_recognition_per_channel") or "SEPARATE" in _name(
        field(field(config, "features"), "multi_channel_mode")
    )
    return (field(_decoding(config), "audio_channel_count") or 1) if is_separate else 1


def _model(config: Any) -> str:
    model = field(config, "model")
    return model if isinstance(model, str) else ""


def _language(config: Any) -> str:
    one, several = field(config, "language_code"), field(config, "language_codes")
    if isinstance(one, str) and one:
        return one
    return str(next(iter(several or ()), ""))


def _name(value: Any) -> str:
    return value if isinstance(value, str) else str(getattr(value, "name", "") or "")
