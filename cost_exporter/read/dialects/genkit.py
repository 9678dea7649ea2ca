"""Genkit's own tracing: `genkit:` attributes, with the usage in the output of an action that is a model.

Who was asked is the prefix of the action's name (`googleai/gemini-2.5-flash`). The output is content, which our
Collector removes: such a call has no usage. Genkit counts characters and media itself; the vendor's counts are of
tokens, and Anthropic's own are in `custom`.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import object_at, read_usage
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_SUBTYPE: Final = "genkit:metadata:subtype"
_NAME: Final = "genkit:name"
_OUTPUT: Final = "genkit:output"
_CALLS: Final = {"model": "chat", "embedder": "embeddings", "reranker": "rerank"}
_PROVIDERS: Final = {"googleai": "google", "vertexai": "google"}


def _operation(reading: Reading) -> str | None:
    return _CALLS.get(reading.text(_SUBTYPE), WRAPPER)


def _complete(reading: Reading) -> None:
    prefix, slash, model = reading.text(_NAME).partition("/")
    if slash:
        reading.provider = reading.provider or _PROVIDERS.get(prefix, prefix)
        reading.request_model = reading.request_model or model
    usage = object_at(reading, _OUTPUT).get("usage")
    if isinstance(usage, dict):
        stated = cast("Mapping[str, Any]", usage)
        custom = stated.get("custom")
        counts = cast("dict[str, Any]", custom) if isinstance(custom, dict) else {}
        read_usage(reading, f"{_OUTPUT}.usage", counts | {name: stated[name] for name in stated if "Tokens" in name})


DIALECT = Dialect(
    name="genkit",
    scopes=("genkit*",),
    markers=frozenset({_SUBTYPE}),
    keys=frozenset({_NAME, _OUTPUT}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
