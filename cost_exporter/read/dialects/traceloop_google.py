"""Traceloop's opentelemetry-instrumentation-google-generativeai: the answer's tokens without the thoughts before it.

Google bills thoughts as output, and most models think. Here only the total has them (281 of 345 output tokens beside
a total of 1,545, measured 0.62.4). What the total has beyond input and output is taken for thoughts; it may hold the
prompts of Google's own tools too, which are input, so such a call is an estimate.
"""

from typing import Final

from cost_exporter.read.reading import Dialect, Reading

__all__ = ["DIALECT"]

_TOTAL: Final = "gen_ai.usage.total_tokens"


def _complete(reading: Reading) -> None:
    quantities = reading.quantities
    total = reading.first_count((_TOTAL,))
    if total is None or "input_tokens" not in quantities or "output_tokens" not in quantities:
        return
    beyond = total - quantities["input_tokens"] - quantities["output_tokens"]
    if beyond > 0:
        quantities["output_tokens"] += beyond
        reading.is_estimated = True
        reading.issues.append("thoughts_from_total")


DIALECT = Dialect(
    name="traceloop-google",
    scopes=("opentelemetry.instrumentation.google_generativeai",),
    keys=frozenset({_TOTAL}),
    complete=_complete,
)
