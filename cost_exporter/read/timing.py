"""Read how long a caller waited, and how a conversation went, from the attributes that frameworks and we write.

A language model's first piece of an answer is a token, a speaker's is audio: which of the two a number means is decided
by the operation. LiveKit's metrics hold theirs in a JSON text. What is no plausible number is left out.
"""

from decimal import Decimal
from typing import Final

from callfare import attributes as ours
from cost_exporter.domain.cost import leg_of
from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.span import Call, EmitterRank
from cost_exporter.domain.timing import Timing
from cost_exporter.read.fields.reading import Keys
from cost_exporter.read.fields.vendor_usage import json_object
from cost_exporter.read.otlp.attribute_values import UnreadableValue, readable_text, value_of
from cost_exporter.read.otlp.values import json_number, number_of
from cost_exporter.read.otlp.wire import EncodedAttributes

__all__ = ["TIMING_KEYS", "timing_of"]

_FIRST_PIECE: Final = (ours.TIME_TO_FIRST_CHUNK, "metrics.ttfb")  # the latter by Pipecat's own tracing
_IN_JSON: Final = {"lk.tts_metrics": "ttfb", "lk.realtime_model_metrics": "ttft"}
_COUNTS: Final = (ours.CALL_TURNS, ours.CALL_INTERRUPTIONS)
TIMING_KEYS: Final = frozenset({*_FIRST_PIECE, *_IN_JSON, *_COUNTS, ours.CALL_DEAD_AIR_SECONDS})
"""Every attribute that is read here."""
_SECONDS_MAX: Final = 86_400
_COUNT_MAX: Final = 1_000_000
_DIGITS: Final = Decimal("0.000001")


def timing_of(
    attributes: EncodedAttributes,
    keys: Keys,
    call: Call | None,
    *,
    trace_id: bytes,
    span_id: bytes,
    started_at_unix_ns: int,
    tenant: str,
    service_name: str,
) -> Timing | None:
    """Return what a span says of time and turns; None if that is nothing, or another span says it as well.

    `keys` are those of `TIMING_KEYS` that the span carries; `call` is the provider call it reports, if it reports one.
    """
    if call is not None and not call.is_billable and call.emitter_rank is EmitterRank.FRAMEWORK:
        return None  # the framework's own tracing, where our instrumentation describes the same call
    leg = "" if call is None else leg_of(call.usage.operation)
    first_piece = _first_piece_seconds(attributes, keys) if leg in {"llm", "tts"} else None
    turn_count, interruption_count = (_count(_number(attributes, keys, name)) for name in _COUNTS)
    timing = Timing(
        trace_id=trace_id,
        span_id=span_id,
        started_at_unix_ns=started_at_unix_ns,
        tenant=tenant,
        service_name=service_name,
        provider="" if call is None else call.usage.provider,
        model="" if call is None else call.usage.model,
        operation="" if call is None else call.usage.operation,
        time_to_first_token_seconds=first_piece if leg == "llm" else None,
        time_to_first_audio_seconds=first_piece if leg == "tts" else None,
        turn_count=turn_count,
        interruption_count=interruption_count,
        dead_air_seconds=_seconds(_number(attributes, keys, ours.CALL_DEAD_AIR_SECONDS)),
    )
    stated = (first_piece, timing.turn_count, timing.interruption_count, timing.dead_air_seconds)
    return timing if any(each is not None for each in stated) else None


def _first_piece_seconds(attributes: EncodedAttributes, keys: Keys) -> Decimal | None:
    stated = [_number(attributes, keys, name) for name in _FIRST_PIECE]
    stated += [json_number(_in_json(attributes, keys, name).get(member)) for name, member in _IN_JSON.items()]
    return next((seconds for each in stated if (seconds := _seconds(each)) is not None), None)


def _in_json(attributes: EncodedAttributes, keys: Keys, name: str) -> dict[str, object]:
    return dict(json_object(readable_text(attributes[name]))) if name in keys else {}


def _number(attributes: EncodedAttributes, keys: Keys, name: str) -> Quantity | None:
    if name not in keys:
        return None
    try:
        return number_of(value_of(attributes[name]))
    except UnreadableValue:
        return None


def _seconds(number: Quantity | None) -> Decimal | None:
    """Return a duration to the microsecond; LiveKit writes -1 where there was none."""
    if number is None or not 0 <= number <= _SECONDS_MAX:
        return None
    return Decimal(number).quantize(_DIGITS).normalize()


def _count(number: Quantity | None) -> int | None:
    if number is None or number != int(number) or not 0 <= number <= _COUNT_MAX:
        return None
    return int(number)
