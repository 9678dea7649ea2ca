"""The vendor's fake, the instrumented SDK, and clients for it."""

from collections.abc import Iterator

import pytest

from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake


@pytest.fixture
def fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture
def instrumented(spans) -> Iterator[None]:
    instrumentor = OpenAIAudioInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()
