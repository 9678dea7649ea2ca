"""The vendor's fake, a client of it, and what an instrumented SDK records."""

from collections.abc import Iterator

import pytest
from cartesia import Cartesia

from callfare.instrumentation.cartesia import CartesiaInstrumentor
from tests.instrumentation.cartesia.sdk import client_of
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.support.recording import Recorded, recorded


@pytest.fixture
def fake() -> Iterator[FakeCartesia]:
    with FakeCartesia() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(CartesiaInstrumentor) as record:
        yield record


@pytest.fixture
def client(fake: FakeCartesia) -> Iterator[Cartesia]:
    with client_of(fake) as made:
        yield made
