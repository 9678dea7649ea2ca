"""LiteLLM's OpenTelemetry callback: numbers as strings, a zero where a stream said nothing, details in a repr.

`raw_gen_ai_request` repeats the request below `litellm_request` in names of its own and is no second call.
Cached counts are only in `metadata.usage_object`, the repr of a Python dict. Embeddings name no provider but in
the model's prefix, and a refused call has LiteLLM's own call id for a response id (measured 1.106.2). Below a span
of the application it makes none of its own, and writes all this onto that span. Newer ones count the text of a stream
without usage themselves, and nothing marks that (8/3 tokens for 1200/345, measured 1.110.2): of OpenAI, whose usage
always has details of the input, it can be told by their absence.
"""

from typing import Final

from cost_exporter.read.operations import WRAPPER
from cost_exporter.read.reading import Dialect, Reading
from cost_exporter.read.vendor_usage import JSON_LENGTH_MAX, python_object, read_usage

__all__ = ["DIALECT"]

_USAGE_OBJECT: Final = "metadata.usage_object"
_PROVIDER_MODEL: Final = "litellm.provider.model"
_CALL_ID: Final = "litellm.call_id"
_INPUT_DETAILS: Final = "prompt_tokens_details"
_ALWAYS_DETAILED: Final = frozenset({"openai", "azure"})
_RAW_REQUEST: Final = "raw_gen_ai_request"


def _operation(reading: Reading) -> str | None:
    return WRAPPER if reading.span.name == _RAW_REQUEST else None


def _complete(reading: Reading) -> None:
    prefix, slash, _ = reading.text(_PROVIDER_MODEL).partition("/")
    if slash and not reading.provider:
        reading.provider = prefix
    if reading.response_id == reading.text(_CALL_ID):
        reading.response_id = ""
    usage = python_object(reading.whole_text(_USAGE_OBJECT, JSON_LENGTH_MAX))
    read_usage(reading, _USAGE_OBJECT, usage)
    is_counted = reading.quantities.get("output_tokens", 0) > 0 and not usage.get(_INPUT_DETAILS)
    if usage and is_counted and reading.is_stream and reading.provider.lower() in _ALWAYS_DETAILED:
        reading.is_estimated = True


DIALECT = Dialect(
    name="litellm",
    scopes=("litellm*",),
    markers=frozenset({_USAGE_OBJECT}),
    keys=frozenset({_PROVIDER_MODEL, _CALL_ID}),
    operation=_operation,
    complete=_complete,
)
