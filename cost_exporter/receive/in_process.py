"""Receiving from inside the application: `OTEL_TRACES_EXPORTER=callfare`, the same gate and pipeline, no service.

`callfare.in_process.InProcessExporter` encodes the spans as any OTLP exporter does and hands the bytes to what
`open_ingest` returns. So a span is read, priced and stored by the same code whichever way it came.
"""

from collections.abc import Callable
from typing import Protocol

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError
from cost_exporter.receive.decode import Encoding, Sender
from cost_exporter.receive.gate import Gate

__all__ = ["GatedIngest", "InProcessIngest", "open_ingest"]


class InProcessIngest(Protocol):
    """What the exporter in the application needs."""

    def __call__(self, body: bytes) -> Receipt:
        """Store a serialised ExportTraceServiceRequest; return after COMMIT.

        Raises `StoreUnavailable` or `Overloaded` where trying again may help, another `CallfareError` where not.
        """
        ...

    def close(self) -> None:
        """Commit what is on its way and let go of everything. Called once."""
        ...


class GatedIngest:
    """An `InProcessIngest` over a gate. No admission: the application's own span processor bounds what comes."""

    def __init__(self, gate: Gate, close: Callable[[], object]) -> None:
        """`close` stops what was started for the gate."""
        self._gate = gate
        self._close = close

    def __call__(self, body: bytes) -> Receipt:
        return self._gate.take(body, Encoding.PROTOBUF, Sender())

    def close(self) -> None:
        self._close()


def open_ingest() -> InProcessIngest:
    """Open the database that the environment names and return the way to it. Raises `CallfareError`."""
    raise CallfareError("storing from inside the application is not built yet; set OTEL_TRACES_EXPORTER=otlp instead")
