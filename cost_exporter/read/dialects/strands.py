"""Strands Agents: `chat` spans that name no provider, and count input as the model's own class does.

The provider is `strands-agents`, whatever the vendor (measured 1.62.0). The input of some vendors includes the cached
tokens (OpenAI), that of others does not (Bedrock, Anthropic): the total shows which (`totals.py`), as do Strands' sums.
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
