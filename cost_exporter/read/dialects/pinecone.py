"""Traceloop's opentelemetry-instrumentation-pinecone: the one vector store that states what it bills.

Read units are a float per query; 0 comes from the gRPC path and means unknown.
"""

from typing import Final

from cost_exporter.read.reading import Dialect, Reading

__all__ = ["DIALECT"]

_READ_UNITS: Final = "pinecone.usage.read_units"


def _operation(reading: Reading) -> str | None:
    return "retrieval" if reading.text(_READ_UNITS) else None


def _complete(reading: Reading) -> None:
    reading.provider = reading.provider or "pinecone"
    if reading.quantities.get("read_units") == 0:
        del reading.quantities["read_units"]


DIALECT = Dialect(
    name="pinecone",
    scopes=("opentelemetry.instrumentation.pinecone",),
    markers=frozenset({_READ_UNITS}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
