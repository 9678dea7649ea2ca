"""Vercel AI SDK 7 with @ai-sdk/otel: the conventions, under scope `gen_ai`.

`invoke_agent` and `agent_step` frame the calls and repeat their usage. An embedding is two spans of one name and
operation, one in the other; the outer one has no usage and gives way (measured 7.0.173).
"""

from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]

_ERROR = 2


def _complete(reading: Reading) -> None:
    if reading.operation == "embeddings" and not reading.quantities and reading.span.status.code != _ERROR:
        reading.is_billable = False


DIALECT = Dialect(name="vercel-ai-7", scopes=("gen_ai",), complete=_complete)
