"""Strands Agents: `chat` spans that name no provider, and count input as the model's own class does.

The provider reads `strands-agents`, whoever was asked (measured 1.62.0). Of some vendors the cached tokens are in the
input (OpenAI), of others beside it (Bedrock, Anthropic): the total tells which (`totals.py`), as Strands' own sums do.
"""

from typing import Final

from cost_exporter.read.dialects.provider_guess import guess_provider
from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]

_ITSELF: Final = "strands-agents"


def _complete(reading: Reading) -> None:
    if reading.provider == _ITSELF:
        reading.provider = ""
    guess_provider(reading)


DIALECT = Dialect(name="strands", scopes=("strands*",), complete=_complete)
