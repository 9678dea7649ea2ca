"""Haystack's own tracing: one span for each run of a component, under whatever scope the application chose.

The type of the component is all that says that a model was asked (`OpenAIChatGenerator`). The model and the usage are
in its output, which is on the span only where content tracing is on (`HAYSTACK_CONTENT_TRACING_ENABLED`): else the call
has no usage, unless the SDK below it reports it. Components that run a model themselves ask nobody.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import object_at, read_usage
from cost_exporter.read.otlp.values import clean_text
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_TYPE: Final = "haystack.component.type"
_OUTPUT: Final = "haystack.component.output"
_COMPONENT: Final = re.compile(r"(\w*?)(?:Responses)?(Chat|Image)?(Generator|TextEmbedder|DocumentEmbedder|Ranker)")
_OPERATIONS: Final = {"Generator": "chat", "TextEmbedder": "embeddings", "DocumentEmbedder": "embeddings"}
_PROVIDERS: Final = {
    "OpenAI": "openai",
    "DALLE": "openai",
    "AzureOpenAI": "azure",
    "Anthropic": "anthropic",
    "AnthropicVertex": "google",
    "GoogleGenAI": "google",
    "GoogleAIGemini": "google",
    "VertexAIGemini": "google",
    "AmazonBedrock": "aws",
    "Cohere": "cohere",
    "Mistral": "mistral",
    "OpenRouter": "openrouter",
    "TogetherAI": "together",
    "Nvidia": "nvidia",
    "STACKIT": "stackit",
    "Jina": "jina",
    "VoyageAI": "voyageai",
}


def _operation(reading: Reading) -> str | None:
    found = _COMPONENT.fullmatch(reading.text(_TYPE))
    if found is None or found[1] not in _PROVIDERS:
        return WRAPPER
    if found[3] == "Ranker":
        return "rerank"
    return "image_generation" if "Image" in (found[2] or "") or found[1] == "DALLE" else _OPERATIONS[found[3]]


def _complete(reading: Reading) -> None:
    found = _COMPONENT.fullmatch(reading.text(_TYPE))
    reading.provider = reading.provider or (_PROVIDERS.get(found[1], "") if found else "")
    answers = list(_metas(object_at(reading, _OUTPUT)))
    models = {clean_text(model) for meta in answers if isinstance(model := meta.get("model"), str)}
    reading.response_model = reading.response_model or (models.pop() if len(models) == 1 else "")
    # Several replies are one answer, whose usage each of them may repeat.
    usages = [usage for meta in answers if isinstance(usage := meta.get("usage"), dict)]
    if usages:
        read_usage(reading, f"{_OUTPUT}.usage", cast("object", usages[0]))


def _metas(output: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the metadata of each reply: beside the replies, in a list or not, or within each of them."""
    for some in (output.get("meta"), output.get("replies")):
        for each in cast("list[object]", some) if isinstance(some, list) else [some]:
            if isinstance(each, dict):
                reply = cast("dict[str, Any]", each)
                inner = reply.get("meta", reply.get("_meta", reply))
                if isinstance(inner, dict):
                    yield cast("dict[str, Any]", inner)


DIALECT = Dialect(
    name="haystack",
    markers=frozenset({_TYPE}),
    keys=frozenset({_OUTPUT}),
    operation=_operation,
    complete=_complete,
)
