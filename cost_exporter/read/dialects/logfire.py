"""Logfire's instrument_openai and instrument_anthropic: the vendor's usage as JSON, and streams in two spans.

A stream is a span without usage, ended when the request was answered, and then a zero-length "log" span
`streaming response from ...` that has the usage. The log span is the call; the first one only frames it
(measured 5.2.0). Cached, reasoning and audio parts are in `gen_ai.usage.raw` alone; of Chat Completions in the
OpenAI Agents SDK they are in `usage`, that SDK's own summary (measured 5.4.0).
"""

from decimal import Decimal
from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import read_usage
from cost_exporter.read.otlp.values import number_of
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_RAW: Final = "gen_ai.usage.raw"
_AGENTS_SDK_USAGE: Final = "usage"
_SPAN_TYPE: Final = "logfire.span_type"
_DURATION: Final = "duration"
_URL: Final = "url"
_NS_PER_SECOND: Final = 10**9
_ERROR: Final = 2
_BY_URL: Final = {
    "/audio/speech": "text_to_speech",
    "/audio/transcriptions": "speech_to_text",
    "/audio/translations": "speech_to_text",
    "/moderations": "moderation",
    "/images/generations": "image_generation",
}
_STREAMING: Final = frozenset({"chat", "text_completion"})


def _operation(reading: Reading) -> str | None:
    stated = reading.first_text(reading.layout.texts.get("operation", ()))
    if not stated:
        return _BY_URL.get(reading.text(_URL))
    reading.is_no_call = stated in _STREAMING and _is_half_of_a_stream(reading)
    return WRAPPER if reading.is_no_call else None


def _is_half_of_a_stream(reading: Reading) -> bool:
    """Return whether this is the first span of a stream: not failed, and yet without id and usage."""
    return (
        reading.text(_SPAN_TYPE) == "span"
        and not reading.layout.quantities
        and "response_id" not in reading.layout.texts
        and reading.span.status.code != _ERROR
    )


def _complete(reading: Reading) -> None:
    for key in (_RAW, _AGENTS_SDK_USAGE):
        read_usage(reading, key, usage_object_at(reading, key))
    if reading.text(_SPAN_TYPE) == "log":
        reading.is_stream = True
        _start_when_the_stream_did(reading)


def _start_when_the_stream_did(reading: Reading) -> None:
    found = reading.attributes.get(_DURATION)
    seconds = None if found is None else number_of(found)
    if seconds is not None and 0 < seconds * _NS_PER_SECOND < reading.started_at_unix_ns:
        reading.started_at_unix_ns -= int(Decimal(seconds) * _NS_PER_SECOND)


DIALECT = Dialect(
    name="logfire",
    scopes=("logfire.openai", "logfire.anthropic", "logfire*"),
    markers=frozenset({_RAW}),
    keys=frozenset({_SPAN_TYPE, _DURATION, _URL, _AGENTS_SDK_USAGE}),
    operation=_operation,
    complete=_complete,
)
