"""MLflow's tracing over OTLP: a span type in place of an operation, the usage in a JSON text, every value as JSON.

The spans above the calls carry sums too; only spans of a model's type are calls. For Anthropic and Bedrock the input is
as they count it, without the cached tokens (scopes.py).
"""

from typing import Final

from cost_exporter.read.dialects.provider_guess import guess_provider
from cost_exporter.read.fields.quantities import TOTALS
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import object_at, usage_leaves
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_TYPE: Final = "mlflow.spanType"
_USAGE: Final = "mlflow.chat.tokenUsage"
_MODEL: Final = "mlflow.llm.model"
_PROVIDER: Final = "mlflow.llm.provider"
_CALLS: Final = {"LLM": "chat", "CHAT_MODEL": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}
_NAMES: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_TYPE).strip('"')
    return _CALLS.get(kind, WRAPPER) if kind else None


def _complete(reading: Reading) -> None:
    leaves = usage_leaves(object_at(reading, _USAGE))
    for name, quantity in _NAMES.items():
        count = leaves.get(name)
        if count or (count is not None and quantity in TOTALS):
            reading.quantities.setdefault(quantity, count)
    reading.saw_usage(_USAGE, leaves, _NAMES.keys())
    reading.request_model = reading.request_model or reading.text(_MODEL).strip('"')
    reading.provider = reading.provider or reading.text(_PROVIDER).strip('"')
    guess_provider(reading)


DIALECT = Dialect(
    name="mlflow",
    scopes=("mlflow*",),
    markers=frozenset({_TYPE, _USAGE}),
    keys=frozenset({_MODEL, _PROVIDER}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
