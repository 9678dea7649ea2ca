"""Spans of one instrumentor, for tests: `with recorded(DeepgramInstrumentor) as spans: ...`.

Every test that records is a canary test: what the fakes say and what the tests send has `canary` in it, or is one of
the telephone numbers, and nothing of it may be on a span or in our log when the test ends, whatever path it took.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callfare import attributes as names
from callfare.guard import internal_error_count
from tests.support.waiting import wait_until

SECRETS = ("canary", "5550006789", "5550001234")


class _Log(logging.Handler):
    """What we log, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Recorded:
    """What was recorded so far."""

    def __init__(self) -> None:
        self._cleared: list[str] = []
        self._exporter = InMemorySpanExporter()
        # By itself it is random, and now and then holds the very digits that must be nowhere.
        self.provider = TracerProvider(resource=Resource.create({"service.instance.id": "the-test"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def paid(self) -> list[ReadableSpan]:
        """The instrumentors' spans, in the order in which they ended."""
        return [span for span in self.all if names.OPERATION_NAME in (span.attributes or {})]

    @property
    def one(self) -> dict[str, Any]:
        """Attributes of the only paid span."""
        (span,) = self.paid
        return dict(span.attributes or {})

    def total(self, name: str) -> Decimal:
        return sum((Decimal(str((span.attributes or {}).get(name, 0))) for span in self.paid), Decimal(0))

    def values(self, name: str) -> list[Any]:
        return [(span.attributes or {}).get(name) for span in self.paid]

    def text(self) -> str:
        """Everything a span could carry out of the process."""
        return json.dumps(
            [
                (s.name, dict(s.attributes or {}), [(e.name, dict(e.attributes or {})) for e in s.events],
                 s.status.description, dict(s.resource.attributes))
                for s in self.all
            ],
            default=str,
            ensure_ascii=False,
        )  # fmt: skip

    def clear(self) -> None:
        self._cleared.append(self.text())
        self._exporter.clear()

    def leaks(self, log: list[str]) -> list[str]:
        """Secrets that would have left the process, in a span that was cleared or is still there, or in the log."""
        carried = "\n".join([*self._cleared, self.text(), *log]).lower()
        return [secret for secret in SECRETS if secret in carried]


@contextmanager
def recorded(*instrumentors: Callable[[], Any]) -> Iterator[Recorded]:
    """Instrument, record, and take everything off again. An internal error of ours or a leak fails the test."""
    record, errors_before, log = Recorded(), internal_error_count(), _Log()
    logger = logging.getLogger("callfare")
    level_before = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    active = [instrumentor() for instrumentor in instrumentors]
    for instrumentor in active:
        instrumentor.instrument(tracer_provider=record.provider)
    try:
        yield record
    finally:
        for instrumentor in active:
            instrumentor.uninstrument()
        logger.removeHandler(log)
        logger.setLevel(level_before)
    assert internal_error_count() == errors_before, "an instrumentor swallowed an error of its own"
    if "CALLFARE_CAPTURE_CONTENT" not in os.environ:
        assert record.leaks(log.lines) == [], "content left the process"


def until(condition: Callable[[], Any]) -> Any:
    """Poll until it holds; what it returned."""
    return wait_until("what the test waits for", condition)
