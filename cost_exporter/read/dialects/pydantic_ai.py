"""Pydantic AI: `chat MODEL` spans by the conventions, below an agent span that repeats the sums.

Of Anthropic's cache writes the 1 h part is told and the 5 min part is not (measured 2.68.0). Newer releases name
the sums `gen_ai.aggregated_usage.*`, which nobody reads; older ones repeat
`gen_ai.usage.*` on `agent run`, which has no operation name.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_AGENT: Final = "agent_name"


def _operation(reading: Reading) -> str | None:
    if reading.layout.texts.get("operation"):
        return None
    return WRAPPER if reading.text(_AGENT) or reading.span.name == "agent run" else None


DIALECT = Dialect(name="pydantic-ai", scopes=("pydantic-ai",), keys=frozenset({_AGENT}), operation=_operation)
