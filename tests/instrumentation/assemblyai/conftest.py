"""AssemblyAI's fake and what the instrumentor recorded of it."""

from collections.abc import Iterator

import pytest

from callfare.instrumentation.assemblyai import AssemblyAIInstrumentor, _wrap
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.support.recording import Recorded, recorded


@pytest.fixture
def fake() -> Iterator[FakeAssemblyAI]:
    _wrap._known.clear()
    with FakeAssemblyAI() as server:
        server.clients = []
        yield server
        for client in server.clients:
            client.http_client.close()


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(AssemblyAIInstrumentor) as record:
        yield record
