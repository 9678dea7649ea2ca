"""Prices that make round sums, and the vendors' real SDKs against their fakes."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openai
import psycopg
import pytest

from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from callfare.instrumentation.threads import ThreadsInstrumentor
from tests.instrumentation.budget.service import Database, Service
from tests.instrumentation.fakes.openai import OpenAIFake

CENT_A_CHARACTER = """
inherit: list
prices:
  - {provider: openai, model: tts-1, unit: characters, price: "0.01", per: "1", valid_from: 2020-01-01}
  - {provider: openai, model: tts-1, unit: characters, price: "5", per: "100", book: "tenant:acme",
     valid_from: 2020-01-01}
  - {provider: openai, model: free-tts, unit: characters, price: "0", per: "1", valid_from: 2020-01-01}
"""
TEN_CENTS = "ten chars."
assert len(TEN_CENTS) == Decimal(10)


@pytest.fixture(autouse=True)
def round_prices(tmp_path: Path, monkeypatch) -> None:
    """`tts-1` costs a cent a character, five of them for one tenant."""
    path = tmp_path / "prices.yaml"
    path.write_text(CENT_A_CHARACTER, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


@pytest.fixture
def fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture
def instrumented(spans) -> Iterator[None]:
    """OpenAI's SDK, and threads that take the context along."""
    instrumentors = [OpenAIAudioInstrumentor(), ThreadsInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=spans.provider)
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


@pytest.fixture
def client(fake, instrumented) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as made:
        yield made


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    running = Service(database_url)
    yield running
    running.stop()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
