"""Spans as they would be exported, and a clean application side for every test."""

import io
import wave
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from callfare import guard
from callfare.provider import hook

NO_SCOPE = InstrumentationScope("")
SECRETS = ("the secret words", "Héllo wörld", "CANARY", "Where is my order")
"""What the tests of this folder send, and what the fakes answer; `recording.py` has those of the others."""


class Spans:
    """The finished spans of a test, and a provider to make them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    @property
    def attributes(self) -> list[dict[str, Any]]:
        return [dict(span.attributes or {}) for span in self.all]

    @property
    def only(self) -> dict[str, Any]:
        assert len(self.all) == 1, [span.name for span in self.all]
        return self.attributes[0]

    def total(self, name: str) -> Decimal:
        """Sum of a quantity over all spans."""
        return sum((Decimal(str(found[name])) for found in self.attributes if name in found), Decimal(0))


@pytest.fixture
def spans() -> Iterator[Spans]:
    """A tracer provider of its own, whose spans are at hand. Nothing of what was said may be on any of ours."""
    made = Spans()
    yield made
    ours = [span for span in made.all if (span.instrumentation_scope or NO_SCOPE).name.startswith("callfare")]
    carried = repr([(span.name, _without_content(span), span.events, span.status.description) for span in ours])
    assert [secret for secret in SECRETS if secret in carried] == [], "content left the process"
    made.provider.shutdown()


def _without_content(span: ReadableSpan) -> dict[str, Any]:
    """What is on a span besides the attributes that CALLFARE_CAPTURE_CONTENT asks for; test_canary.py sees to those."""
    return {name: said for name, said in (span.attributes or {}).items() if not name.startswith("callfare.content.")}


@pytest.fixture
def attributed(spans: Spans) -> Spans:
    """The same, with everything of ours installed in the provider."""
    hook.install(spans.provider)
    return spans


@pytest.fixture(autouse=True)
def no_internal_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Our own code swallows its errors towards the application; a test must not."""
    before = guard.internal_error_count()
    yield
    if "expects_internal_errors" not in request.keywords:
        assert guard.internal_error_count() == before, "callfare swallowed an error of its own: see the log"


@pytest.fixture
def wav() -> Callable[..., bytes]:
    """A WAV file of so many seconds."""

    def make(seconds: float, *, rate: int = 16_000, channels: int = 1) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(b"\0\0" * channels * int(seconds * rate))
        return buffer.getvalue()

    return make
