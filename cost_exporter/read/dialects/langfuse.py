"""Langfuse's SDK: observations with a type, the usage in a JSON text, and nobody named who was asked.

Of OpenAI's client `usage_details` is what the vendor sent. Of LangChain, and as Langfuse's guide has it written by
hand, it is parts that add up: `input` without `input_cached_tokens` or `cache_read_input_tokens` (measured 5.0.4). An
error has a message and no name.
"""

from collections.abc import Mapping
from typing import Any, Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.makers import assume_provider
from cost_exporter.read.operations import WRAPPER
from cost_exporter.read.reading import Dialect, Reading
from cost_exporter.read.values import clean_text, json_count, json_number
from cost_exporter.read.vendor_usage import JSON_LENGTH_MAX, add_vendor_usage, json_object

__all__ = ["DIALECT"]

_PREFIX: Final = "langfuse.observation."
_TYPE: Final = _PREFIX + "type"
_USAGE: Final = _PREFIX + "usage_details"
_COST: Final = _PREFIX + "cost_details"
_PARAMETERS: Final = _PREFIX + "model.parameters"
_FIRST_OUTPUT: Final = _PREFIX + "completion_start_time"
_PROVIDER: Final = _PREFIX + "metadata.ls_provider"
_CALLS: Final = {"generation": "chat", "embedding": "embeddings"}
_TOTALS: Final = (("input_tokens", "input"), ("output_tokens", "output"))
_PARTS: Final = (
    ("input_tokens", "cache_read_tokens", ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens")),
    ("input_tokens", "cache_write_tokens", ("input_cache_creation", "cache_creation_input_tokens")),
    ("input_tokens", "input_audio_tokens", ("input_audio_tokens", "input_audio")),
    ("output_tokens", "output_audio_tokens", ("output_audio_tokens", "output_audio")),
    ("output_tokens", "reasoning_tokens", ("output_reasoning_tokens", "output_reasoning")),
)


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_TYPE).lower()
    if not kind or (kind in _CALLS and reading.plan.texts.get("operation")):
        return None
    return _CALLS.get(kind, WRAPPER)


def _complete(reading: Reading) -> None:
    usage = json_object(reading.whole_text(_USAGE, JSON_LENGTH_MAX))
    if any(name in usage for _, name in _TOTALS):
        _add_parts(reading, usage)
    else:
        add_vendor_usage(reading.quantities, usage)
    reading.reported_cost = json_number(json_object(reading.whole_text(_COST, JSON_LENGTH_MAX)).get("total"))
    tier = json_object(reading.whole_text(_PARAMETERS, JSON_LENGTH_MAX)).get("service_tier")
    if isinstance(tier, str):
        reading.service_tier = reading.service_tier or clean_text(tier)
    if reading.is_stream is None and reading.text(_FIRST_OUTPUT):
        reading.is_stream = True
    # Metadata is JSON, each value of it.
    reading.provider = reading.provider or reading.text(_PROVIDER).strip('"')
    assume_provider(reading)


def _add_parts(reading: Reading, usage: Mapping[str, Any]) -> None:
    """Add counts that are disjoint: a total here is the rest of it and its parts."""
    found: dict[str, Quantity] = {}
    for quantity, name in _TOTALS:
        number = json_count(usage.get(name))
        if number is not None:
            found[quantity] = number
    for total, quantity, names in _PARTS:
        number = next((number for name in names if (number := json_count(usage.get(name)))), None)
        if number is not None:
            found[quantity] = number
            found[total] = found.get(total, 0) + number
    for quantity, number in found.items():
        reading.quantities.setdefault(quantity, number)


DIALECT = Dialect(
    name="langfuse",
    scopes=("langfuse*",),
    markers=frozenset({_TYPE}),
    keys=frozenset({_USAGE, _COST, _PARAMETERS, _FIRST_OUTPUT, _PROVIDER}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
