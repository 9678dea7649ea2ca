"""Vercel AI SDK: `ai.generateText` frames one or more `ai.generateText.doGenerate`, and both carry the usage.

Only the `.do...` spans are calls (measured 6.0.322). An id that starts with `aitxt-` was made up by the SDK.
"""

from typing import Final

from cost_exporter.read.operations import WRAPPER
from cost_exporter.read.reading import Dialect, Reading

__all__ = ["DIALECT"]

_OPERATION_ID: Final = "ai.operationId"
_INVENTED_ID: Final = "aitxt-"
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


DIALECT = Dialect(
    name="vercel-ai",
    scopes=("ai",),
    markers=frozenset({_OPERATION_ID}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
