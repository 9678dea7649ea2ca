"""Vercel AI SDK: `ai.generateText` frames one or more `ai.generateText.doGenerate`, and both carry the usage.

Only the `.do...` spans are calls (measured 6.0.322). An id that starts with `aitxt-` was made up by the SDK. The
vendor's own usage is in `ai.response.providerMetadata`: where that is Anthropic's, it has what AI SDK 5 leaves out (all
that was cached) and 6 (how long it is kept).
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import (
    READ_PATHS,
    add_leaves,
    read_usage,
    take_terms,
    usage_leaves,
)
from cost_exporter.read.otlp.values import clean_text, json_number
from cost_exporter.read.vocabulary.operations import WRAPPER
from cost_exporter.read.vocabulary.usage_names import usage_name

__all__ = ["DIALECT"]

_OPERATION_ID: Final = "ai.operationId"
_METADATA: Final = "ai.response.providerMetadata"
_INVENTED_ID: Final = "aitxt-"
_GATEWAY: Final = "gateway"
_BY_WORD: Final = (
    ("embed", "embeddings"),
    ("rerank", "rerank"),
    ("transcri", "speech_to_text"),
    ("speech", "text_to_speech"),
    ("image", "image_generation"),
)


def _operation(reading: Reading) -> str | None:
    operation_id = reading.text(_OPERATION_ID)
    if not operation_id:
        return None
    if ".do" not in operation_id:
        return WRAPPER
    lowered = operation_id.lower()
    return next((operation for word, operation in _BY_WORD if word in lowered), "chat")


def _complete(reading: Reading) -> None:
    if reading.response_id.startswith(_INVENTED_ID):
        reading.response_id = ""
    if reading.text(_OPERATION_ID).endswith(".doStream"):
        reading.is_stream = True
    for vendor, metadata in usage_object_at(reading, _METADATA).items():
        if isinstance(metadata, dict):
            _read_metadata(reading, vendor, cast("Mapping[str, Any]", metadata))


def _read_metadata(reading: Reading, vendor: str, metadata: Mapping[str, Any]) -> None:
    if vendor == _GATEWAY:
        reading.reported_cost = json_number(metadata.get("cost"))
        return
    tier = metadata.get("serviceTier", metadata.get("service_tier"))
    if isinstance(tier, str):
        reading.stated_tier = reading.stated_tier or clean_text(tier)
    usage = metadata.get("usage", metadata.get("usageMetadata"))
    if not isinstance(usage, Mapping):
        # OpenAI's and DeepSeek's stand among other things: `cachedPromptTokens`, `promptCacheHitTokens`.
        counts = {name: metadata[name] for name in metadata if usage_name(name) is not None}
        read_usage(reading, f"{_METADATA}.{vendor}", counts)
        return
    leaves = usage_leaves(cast("Mapping[str, object]", usage))
    if vendor == "anthropic":
        # Its own counts are whole: the SDK's input is with or without what was cached, depending on its version.
        whole: dict[str, Quantity] = {}
        add_leaves(whole, leaves)
        reading.quantities.update(whole)
        reading.has_vendors_counts = True
        reading.saw_usage(f"{_METADATA}.{vendor}.usage", leaves, READ_PATHS)
        take_terms(reading, cast("Mapping[str, object]", usage))
    else:
        read_usage(reading, f"{_METADATA}.{vendor}.usage", usage)


DIALECT = Dialect(
    name="vercel-ai",
    scopes=("ai",),
    markers=frozenset({_OPERATION_ID}),
    keys=frozenset({_METADATA}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
