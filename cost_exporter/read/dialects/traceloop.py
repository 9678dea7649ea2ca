"""Traceloop (OpenLLMetry): opentelemetry-instrumentation-openai, -anthropic, -langchain, and its SDK.

The SDK's workflow and task spans frame calls; what `association_properties` say is attribution (aliases.py).
Releases before 0.40 have `llm.request.type` in place of an operation. An Azure client shows only in the API
version: the provider still reads `openai` (measured 0.62.4).
"""

from typing import Final

from cost_exporter.domain.usage import CHAT_OPERATIONS
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_SPAN_KIND: Final = "traceloop.span.kind"
_REQUEST_TYPE: Final = "llm.request.type"
_API_VERSION: Final = "gen_ai.openai.api_version"
_REQUEST_TYPES: Final = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
}


def _operation(reading: Reading) -> str | None:
    kind = reading.text(_SPAN_KIND)
    if kind:
        # LlamaIndex runs a model as a task (`Cohere.task`), and reports its operation and usage there.
        is_call = kind == "task" and reading.identity.operation in CHAT_OPERATIONS and reading.layout.quantities
        return reading.identity.operation if is_call else WRAPPER
    if reading.layout.texts.get("operation"):
        return None
    return _REQUEST_TYPES.get(reading.text(_REQUEST_TYPE))


def _complete(reading: Reading) -> None:
    if reading.provider.lower() == "openai" and reading.text(_API_VERSION):
        reading.provider = "azure"


DIALECT = Dialect(
    name="traceloop",
    scopes=("opentelemetry.instrumentation.*", "@traceloop/*", "traceloop*"),
    markers=frozenset({_SPAN_KIND, _REQUEST_TYPE}),
    keys=frozenset({_API_VERSION}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
