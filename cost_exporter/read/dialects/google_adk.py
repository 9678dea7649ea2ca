"""Google's Agent Development Kit: `call_llm` above `generate_content`, both with the usage, and itself as the provider.

Until 1.8 the output on `call_llm` is the total; the answer beside it, a JSON text, has the counts. A model of another
vendor has it in its prefix (`openai/gpt-4o`).
"""

from typing import Final

from cost_exporter.read.dialects.provider_guess import guess_provider
from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.usage_containers import usage_object_at
from cost_exporter.read.fields.vendor_usage import usage_leaves

__all__ = ["DIALECT"]

_ANSWER: Final = "gcp.vertex.agent.llm_response"
_ITSELF: Final = "gcp.vertex.agent"
_CALL: Final = "call_llm"


def _operation(reading: Reading) -> str | None:
    return "chat" if reading.span.name == _CALL else None


def _complete(reading: Reading) -> None:
    if reading.provider == _ITSELF:
        prefix, slash, _ = reading.request_model.partition("/")
        reading.provider = prefix if slash and prefix != "models" else ""
        guess_provider(reading)
    answer = usage_object_at(reading, _ANSWER).get("usage_metadata")
    leaves = usage_leaves(answer) if isinstance(answer, dict) else {}
    total = leaves.get("total_token_count", 0)
    if total and reading.quantities.get("output_tokens") == total:
        thoughts = leaves.get("thoughts_token_count", 0)
        reading.quantities["output_tokens"] = leaves.get("candidates_token_count", 0) + thoughts


DIALECT = Dialect(
    name="google-adk",
    scopes=(_ITSELF,),
    markers=frozenset({_ANSWER}),
    operation=_operation,
    complete=_complete,
)
