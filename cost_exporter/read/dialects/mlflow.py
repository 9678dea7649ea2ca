"""MLflow's tracing over OTLP: a span type in place of an operation, the usage in a JSON text, every value as JSON.

The spans above the calls carry sums too; only spans of a model's type are calls. The input includes what was cached
(measured 3.17.2), for Anthropic too since 3.13; before, that depended on the vendor, and until 3.9 nothing showed that
anything of Anthropic's was cached. The answer has the vendor's own usage, with the split of what was written and, of
embeddings, all there is; our Collector leaves nothing else of it. In a tracer provider that is the application's,
MLflow writes an empty type on everybody's spans.
"""

from typing import Final

from cost_exporter.read.dialects.provider_guess import guess_provider
from cost_exporter.read.fields.quantities import TOTALS
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import object_at, read_usage, usage_leaves
from cost_exporter.read.otlp.values import clean_text
from cost_exporter.read.vocabulary.operations import WRAPPER
from cost_exporter.read.vocabulary.scopes import EXCLUSIVE_PROVIDERS

__all__ = ["DIALECT"]

_TYPE: Final = "mlflow.spanType"
_USAGE: Final = "mlflow.chat.tokenUsage"
_MODEL: Final = "mlflow.llm.model"
_ASKED_MODEL: Final = "model"
_PROVIDER: Final = "mlflow.llm.provider"
_ANSWER: Final = "mlflow.spanOutputs"
_LEVEL: Final = "mlflow.spanLogLevel"
"""On every span since 3.13."""
_CALLS: Final = {"LLM": "chat", "CHAT_MODEL": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}
_NO_TYPE: Final = frozenset({"", "null"})
_NAMES: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "cache_creation_input_tokens_above_1hr": "cache_write_1h_tokens",
}
_CACHED: Final = frozenset({"cache_read_tokens", "cache_write_tokens"})


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_TYPE).strip('"')
    return None if kind in _NO_TYPE else _CALLS.get(kind, WRAPPER)


def _complete(reading: Reading) -> None:
    leaves = usage_leaves(usage_object_at(reading, _USAGE))
    for name, quantity in _NAMES.items():
        count = leaves.get(name)
        if count or (count is not None and quantity in TOTALS):
            reading.quantities.setdefault(quantity, count)
    reading.saw_usage(_USAGE, leaves, _NAMES.keys())
    reading.request_model = reading.request_model or _unquoted(reading, _MODEL) or _unquoted(reading, _ASKED_MODEL)
    reading.provider = reading.provider or _unquoted(reading, _PROVIDER)
    guess_provider(reading)
    _read_answer(reading)
    if leaves and reading.has_input_cached is None:
        _judge_release(reading)


def _read_answer(reading: Reading) -> None:
    answer = object_at(reading, _ANSWER)
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return
    read_usage(reading, f"{_ANSWER}.usage", usage)
    reading.response_id = reading.response_id or _text(answer.get("id"))
    reading.service_tier = reading.service_tier or _text(answer.get("service_tier"))


def _judge_release(reading: Reading) -> None:
    """Say what the input is by the release that wrote it, where the answer does not show it."""
    if _LEVEL in reading.attributes:
        reading.has_input_cached = True
    elif reading.provider in EXCLUSIVE_PROVIDERS and _CACHED.isdisjoint(reading.quantities):
        reading.issues.append("not_reported: cache_read_tokens, cache_write_tokens")
        reading.is_estimated = True


def _unquoted(reading: Reading, key: str) -> str:
    return reading.text(key).strip('"')


def _text(found: object) -> str:
    return clean_text(found) if isinstance(found, str) else ""


DIALECT = Dialect(
    name="mlflow",
    scopes=("mlflow*",),
    markers=frozenset({_TYPE, _USAGE}),
    keys=frozenset({_MODEL, _ASKED_MODEL, _PROVIDER, _ANSWER, _LEVEL}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
