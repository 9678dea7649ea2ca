"""Traceloop's opentelemetry-instrumentation-pinecone: the one vector store that states what it bills.

Read units are a float per query; 0 comes from the gRPC path and means unknown. A query states 0 write units too.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]

_READ_UNITS: Final = "pinecone.usage.read_units"
_UNITS: Final = ("read_units", "write_units")


def _operation(reading: Reading) -> str | None:
    return "retrieval" if reading.text(_READ_UNITS) else None


def _complete(reading: Reading) -> None:
    reading.provider = reading.provider or "pinecone"
    for unit in _UNITS:
        if reading.quantities.get(unit) == 0:
            del reading.quantities[unit]


DIALECT = Dialect(
    name="pinecone",
    scopes=("opentelemetry.instrumentation.pinecone",),
    markers=frozenset({_READ_UNITS}),
    operation=_operation,
    needs_marker=True,
    complete=_complete,
)
