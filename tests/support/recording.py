"""Spans of one instrumentor, for tests: `with recorded(DeepgramInstrumentor) as spans: ...`.

Every test that records is a canary test: what the fakes answer and what the tests send holds one of `SECRETS`, and none
of them may be on a span or in our log when the test ends, whatever path it took. Tests that install the instrumentor
themselves use the fixture `spans` of `tests/instrumentation/conftest.py`, which checks the same.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from callfare import attributes as names
from callfare.guard import internal_error_count
from tests.support.waiting import wait_until

NO_SCOPE = InstrumentationScope("")
SECRETS = ("canary", "5550006789", "5550001234", "the secret words", "héllo wörld", "where is my order")
"""What the tests send and what the fakes answer, in lower case."""


class _Log(logging.Handler):
    """What we log, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Recorded:
    """The finished spans of a test, and a provider to make them."""

    def __init__(self) -> None:
        self._cleared: list[str] = []
        self._exporter = InMemorySpanExporter()
        # By itself the id is random, and now and then holds the very digits that must be nowhere.
        resource = Resource.create({"service.instance.id": "the-test"})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("app")

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def ours(self) -> list[ReadableSpan]:
        """The spans of our instrumentors and of `callfare.workflow`."""
        return [span for span in self.all if (span.instrumentation_scope or NO_SCOPE).name.startswith("callfare")]

    @property
    def paid(self) -> list[ReadableSpan]:
        """The instrumentors' spans, in the order in which they ended."""
        return [span for span in self.all if names.OPERATION_NAME in (span.attributes or {})]

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """Attributes of all spans."""
        return [dict(span.attributes or {}) for span in self.all]

    @property
    def only(self) -> dict[str, Any]:
        """Attributes of the only span."""
        assert len(self.all) == 1, [span.name for span in self.all]
        return self.attributes[0]

    @property
    def one(self) -> dict[str, Any]:
        """Attributes of the only paid span."""
        (span,) = self.paid
        return dict(span.attributes or {})

    def total(self, name: str) -> Decimal:
        """Sum of a quantity over all spans."""
        return sum((Decimal(str(found[name])) for found in self.attributes if name in found), Decimal(0))

    def values(self, name: str) -> list[Any]:
        """Values of an attribute on the paid spans."""
        return [(span.attributes or {}).get(name) for span in self.paid]

    def text(self) -> str:
        """Everything that the spans could carry out of the process."""
        return text_of(self.all)

    def clear(self) -> None:
        """Forget the spans so far, but not what they carried."""
        self._cleared.append(self.text())
        self._exporter.clear()

    def leaks(self, log: list[str]) -> list[str]:
        """Secrets that would have left the process, in a span that was cleared or is still there, or in the log."""
        return secrets_in([*self._cleared, self.text(), *log])


def text_of(spans: Iterable[ReadableSpan], *, ignored: str = "") -> str:
    """Return everything that spans could carry out of the process, but attributes whose names begin with `ignored`."""
    return json.dumps(
        [
            (
                span.name,
                {
                    name: value
                    for name, value in (span.attributes or {}).items()
                    if not (ignored and name.startswith(ignored))
                },
                [(event.name, dict(event.attributes or {})) for event in span.events],
                span.status.description,
                dict(span.resource.attributes),
            )
            for span in spans
        ],
        default=str,
        ensure_ascii=False,
    )


def secrets_in(texts: Iterable[str]) -> list[str]:
    """Return the secrets that any of these texts holds, in whatever case."""
    carried = "\n".join(texts).lower()
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
