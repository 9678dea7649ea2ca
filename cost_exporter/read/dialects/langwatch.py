"""LangWatch's SDKs: a span type in place of an operation, and the usage in a JSON text.

`langwatch.metrics` is the counts, in camel or snake case, bare (measured 1.4.0) or as `{"type": "json", "value":
{...}}`. Who was asked is in the prefix of the model, whether it streamed in `langwatch.params`.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.quantities import TOTALS
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import object_at
from cost_exporter.read.otlp.values import json_count, json_number
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_METRICS: Final = "langwatch.metrics"
_TYPE: Final = "langwatch.span.type"
_PARAMETERS: Final = "langwatch.params"
_NAMES: Final = (
    ("input_tokens", ("promptTokens", "prompt_tokens", "inputTokens", "input_tokens")),
    ("output_tokens", ("completionTokens", "completion_tokens", "outputTokens", "output_tokens")),
    ("reasoning_tokens", ("reasoningTokens", "reasoning_tokens")),
    ("cache_read_tokens", ("cacheReadInputTokens", "cache_read_input_tokens")),
    ("cache_write_tokens", ("cacheCreationInputTokens", "cache_creation_input_tokens")),
)
_CALLS: Final = {"llm": "chat", "embedding": "embeddings"}


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_TYPE).lower()
    if not kind or (kind in _CALLS and reading.layout.texts.get("operation")):
        return None
    return _CALLS.get(kind, WRAPPER)


def _complete(reading: Reading) -> None:
    stated = usage_object_at(reading, _METRICS)
    inner = stated.get("value")
    metrics = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else stated
    for quantity, names in _NAMES:
        for name in names:
            number = json_count(metrics.get(name))
            if number or (number is not None and quantity in TOTALS):
                reading.quantities.setdefault(quantity, number)
    if reading.is_stream is None and object_at(reading, _PARAMETERS).get("stream") is True:
        reading.is_stream = True
    reading.reported_cost = json_number(metrics.get("cost"))


DIALECT = Dialect(
    name="langwatch",
    scopes=("langwatch*",),
    markers=frozenset({_METRICS, _TYPE}),
    keys=frozenset({_PARAMETERS}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
