"""The vendor's fake, and what an instrumented SDK records of it."""

from collections.abc import Iterator

import httpx
import pytest

from callfare.instrumentation.deepgram import DeepgramInstrumentor
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.support.recording import Recorded, recorded


@pytest.fixture
def fake() -> Iterator[FakeDeepgram]:
    with FakeDeepgram() as server, httpx.Client(timeout=60) as http:
        server.client = http  # ours to close: the SDK's clients cannot be
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(DeepgramInstrumentor) as record:
        yield record
