"""Strands Agents: `chat` spans that name no provider, and count input as the model's own class does.

The provider reads `strands-agents`, whoever was asked (measured 1.62.0). Of some vendors the cached tokens are in the
input (OpenAI), of others beside it (Bedrock, Anthropic): the total tells which, as Strands' own sums do.
"""

from typing import Final

from cost_exporter.read.makers import assume_provider
from cost_exporter.read.reading import Dialect, Reading

__all__ = ["DIALECT"]

_TOTAL: Final = "gen_ai.usage.total_tokens"
_ITSELF: Final = "strands-agents"


def _complete(reading: Reading) -> None:
    if reading.provider == _ITSELF:
        reading.provider = ""
    assume_provider(reading)
    quantities = reading.quantities
    cached = quantities.get("cache_read_tokens", 0) + quantities.get("cache_write_tokens", 0)
    total = reading.first_count((_TOTAL,)) if _TOTAL in reading.attributes else None
    stated = quantities.get("input_tokens", 0)
    if cached and total == stated + quantities.get("output_tokens", 0) + cached:
        quantities["input_tokens"] = stated + cached
        reading.issues.append("exclusive_input")


DIALECT = Dialect(name="strands", scopes=("strands*",), complete=_complete)
