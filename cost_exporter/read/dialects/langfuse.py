"""Langfuse's SDK: observations with a type, the usage in a JSON text, and no provider.

For OpenAI's client `usage_details` is what the vendor sent. For LangChain, and written by hand after Langfuse's guide,
it consists of parts that add up: `input` without `input_cached_tokens` or `cache_read_input_tokens` (measured 5.0.4).
The tier is in the names of the parts (`input_flex_cache_read`). An error has a message and no name.
"""

from collections.abc import Mapping
from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.dialects.provider_guess import guess_provider
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import object_at, read_usage, usage_leaves
from cost_exporter.read.otlp.values import clean_text, json_number
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_PREFIX: Final = "langfuse.observation."
_TYPE: Final = _PREFIX + "type"
_USAGE: Final = _PREFIX + "usage_details"
_COST: Final = _PREFIX + "cost_details"
_PARAMETERS: Final = _PREFIX + "model.parameters"
_FIRST_OUTPUT: Final = _PREFIX + "completion_start_time"
_PROVIDER: Final = _PREFIX + "metadata.ls_provider"
_CALLS: Final = {"generation": "chat", "embedding": "embeddings"}
_TIERS: Final = frozenset({"flex", "priority"})
_SIDES: Final = ("input", "output")
_PARTS: Final = (
    ("input", {"cache", "read"}, "cache_read_tokens"),
    ("input", {"cached"}, "cache_read_tokens"),
    ("input", {"cache", "creation", "5m"}, "cache_write_5m_tokens"),
    ("input", {"cache", "creation", "1h"}, "cache_write_1h_tokens"),
    ("input", {"cache", "creation"}, "cache_write_tokens"),
    ("input", {"cache", "write"}, "cache_write_tokens"),
    ("input", {"audio"}, "input_audio_tokens"),
    ("input", {"image"}, "input_image_tokens"),
    ("output", {"audio"}, "output_audio_tokens"),
    ("output", {"image"}, "output_image_tokens"),
    ("output", {"reasoning"}, "reasoning_tokens"),
)
"""Side, words in the name, and what it counts; the first that fits. `input_text` and `input_flex` count the rest."""
_REST: Final = frozenset({"input", "output", "text", "tokens"}) | _TIERS


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_TYPE).lower()
    if not kind or (kind in _CALLS and reading.layout.texts.get("operation")):
        return None
    return _CALLS.get(kind, WRAPPER)


def _complete(reading: Reading) -> None:
    usage = usage_object_at(reading, _USAGE)
    if any(side in usage for side in _SIDES):
        _add_parts(reading, usage_leaves(usage))
    else:
        read_usage(reading, _USAGE, usage)
    reading.reported_cost = json_number(object_at(reading, _COST).get("total"))
    tier = object_at(reading, _PARAMETERS).get("service_tier")
    if isinstance(tier, str):
        reading.service_tier = reading.service_tier or clean_text(tier)
    if reading.is_stream is None and reading.text(_FIRST_OUTPUT):
        reading.is_stream = True
    # Metadata is JSON, each value of it.
    reading.provider = reading.provider or reading.text(_PROVIDER).strip('"')
    guess_provider(reading)


def _add_parts(reading: Reading, leaves: Mapping[str, Quantity]) -> None:
    """Add counts that are disjoint: a total here is the rest of it and its parts.

    LangChain's `priority` is the exception: there `input` is the sum of the parts beside it.
    """
    totals: dict[str, Quantity] = {}
    found: dict[str, Quantity] = {}
    read: set[str] = set()
    for side in _SIDES:
        total = leaves.get(side, 0)
        parts = {name: count for name, count in leaves.items() if name != side and side in name.split("_")}
        counted = sum(parts.values())
        if parts and total == counted and leaves.get("total") != _sum_of_all(leaves):
            total = 0
        if side in leaves or parts:
            totals[f"{side}_tokens"] = total + counted
        for name, count in parts.items():
            words = frozenset(name.split("_"))
            tier = next(iter(words & _TIERS), "")
            if tier and count:
                reading.service_tier = reading.service_tier or tier
            quantity = next((each for of, needed, each in _PARTS if of == side and needed <= words), "")
            if quantity:
                found[quantity] = found.get(quantity, 0) + count
            if quantity or words <= _REST:
                read.add(name)
    for quantity, number in (totals | {quantity: number for quantity, number in found.items() if number}).items():
        reading.quantities.setdefault(quantity, number)
    reading.saw_usage(_USAGE, leaves, read.union(_SIDES))


def _sum_of_all(leaves: Mapping[str, Quantity]) -> Quantity:
    return sum(count for name, count in leaves.items() if name != "total")


DIALECT = Dialect(
    name="langfuse",
    scopes=("langfuse*",),
    markers=frozenset({_TYPE}),
    keys=frozenset({_USAGE, _COST, _PARAMETERS, _FIRST_OUTPUT, _PROVIDER}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
