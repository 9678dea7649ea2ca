"""LiveKit Agents: `llm_request` by the conventions, `tts_request` with its usage in a JSON text.

The `*_run` spans below are attempts of the same request and carry no usage. STT has no span with usage at all;
our instrumentor makes one. The request id of a TTS is LiveKit's own and no id of the vendor's (measured 1.8.9).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import read_usage
from cost_exporter.read.otlp.values import json_count, json_number
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_TTS: Final = "lk.tts_metrics"
_STT: Final = "lk.stt_metrics"
_REALTIME: Final = "lk.realtime_model_metrics"
_BY_SPAN_NAME: Final = {"llm_request": "chat", "tts_request": "text_to_speech"}
_MS_PER_SECOND: Final = 1000


def _operation(reading: Reading) -> str | None:
    named = _BY_SPAN_NAME.get(reading.span.name)
    if named is not None:
        return named
    if reading.text(_TTS):
        return "text_to_speech"
    if reading.text(_STT):
        return "speech_to_text"
    if reading.text(_REALTIME):
        return "chat"
    return None if reading.layout.texts.get("operation") else WRAPPER


def _complete(reading: Reading) -> None:
    metrics = usage_object_at(reading, _TTS)
    _add(reading, "characters", json_count(metrics.get("characters_count", metrics.get("charactersCount"))))
    _add(reading, "output_audio_seconds", _seconds(metrics))
    _add_tokens(reading, metrics)
    metrics = usage_object_at(reading, _STT)
    _add(reading, "audio_seconds", _seconds(metrics))
    _add_tokens(reading, metrics)
    read_usage(reading, _REALTIME, usage_object_at(reading, _REALTIME))


def _add_tokens(reading: Reading, metrics: Mapping[str, Any]) -> None:
    """Add token counts of speech models; LiveKit writes 0 for models that have none."""
    _add(reading, "input_tokens", json_count(metrics.get("input_tokens")) or None)
    _add(reading, "output_tokens", json_count(metrics.get("output_tokens")) or None)


def _seconds(metrics: Mapping[str, Any]) -> Decimal | int | None:
    """Return the length of the audio: seconds in Python, milliseconds in JavaScript."""
    milliseconds = json_number(metrics.get("audioDurationMs"))
    if milliseconds is not None:
        return Decimal(milliseconds) / _MS_PER_SECOND
    return json_number(metrics.get("audio_duration"))


def _add(reading: Reading, quantity: str, number: Decimal | int | None) -> None:
    if number is not None:
        reading.quantities.setdefault(quantity, number)


DIALECT = Dialect(
    name="livekit",
    scopes=("livekit-agents", "livekit*"),
    markers=frozenset({_TTS, _STT, _REALTIME}),
    operation=_operation,
    parts=frozenset({"llm_request_run", "tts_request_run", "llm_node", "tts_node", "user_turn"}),
    complete=_complete,
)
