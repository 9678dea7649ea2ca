"""Qdrant's client against a fake that counts requests and vectors."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from callfare import attributes as names
from callfare.instrumentation.qdrant import QdrantInstrumentor
from tests.instrumentation.fakes.vectors import FakeQdrant
from tests.support.recording import Recorded, recorded

REQUESTS, VECTORS = f"{names.USAGE_PREFIX}requests", f"{names.USAGE_PREFIX}vectors"
POINTS = [models.PointStruct(id=number, vector=[0.1, 0.2], payload={"text": "canary"}) for number in range(3)]


@pytest.fixture
def fake() -> Iterator[FakeQdrant]:
    with FakeQdrant() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(QdrantInstrumentor) as record:
        yield record


@pytest.fixture
def client(fake: FakeQdrant) -> Iterator[QdrantClient]:
    made = QdrantClient(url=fake.url, check_compatibility=False)
    yield made
    made.close()


def test_reads_and_writes_are_one_request_each(fake: FakeQdrant, client: QdrantClient, spans: Recorded) -> None:
    """With the collection as their model, and no payload on any span."""
    client.upsert("docs", POINTS)
    client.upsert(collection_name="docs", points=models.Batch(ids=[7], vectors=[[0.1, 0.2]]))
    assert client.query_points("docs", query=[0.1, 0.2], limit=4).points[0].payload == {"text": "canary"}
    client.scroll("docs", limit=2)
    client.count("docs")
    assert spans.total(REQUESTS) == fake.data_requests == 5
    assert spans.total(VECTORS) == 4
    assert spans.values(names.REQUEST_MODEL) == ["docs"] * 5
    assert spans.values("db.operation.name") == ["upsert", "upsert", "query_points", "scroll", "count"]
    assert spans.values("gen_ai.retrieval.top_k")[2] == 4
    assert "canary" not in spans.text()


def test_uploads_count_their_batches(fake: FakeQdrant, client: QdrantClient, spans: Recorded) -> None:
    """What is written in batches of the client's own; an iterator is left for it to consume."""
    client.upload_points("docs", POINTS, batch_size=2, wait=True)
    client.upload_collection("docs", vectors=[[0.1, 0.2]] * 5, batch_size=2, wait=True)
    client.upload_collection("docs", vectors={"a": np.zeros((7, 2))}, wait=True)
    assert spans.total(REQUESTS) == fake.data_requests == 2 + 3 + 1
    assert spans.total(VECTORS) == fake.vectors == 3 + 5 + 7
    client.upload_points("docs", iter(POINTS), wait=True)
    assert fake.vectors == 3 + 5 + 7 + 3
    assert VECTORS not in (spans.paid[-1].attributes or {})


def test_a_refusal_says_so(fake: FakeQdrant, client: QdrantClient, spans: Recorded) -> None:
    """The client's own exception."""
    fake.refuse_next = [403]
    with pytest.raises(Exception, match="403"):
        client.count("docs")
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 403}.items()


def test_asynchronous_calls_are_counted(fake: FakeQdrant, spans: Recorded) -> None:
    """`AsyncQdrantClient`."""

    async def call() -> None:
        client = AsyncQdrantClient(url=fake.url, check_compatibility=False)
        await client.query_points("docs", query=[0.1, 0.2])
        await client.close()

    asyncio.run(call())
    assert spans.total(REQUESTS) == fake.data_requests == 1


def test_a_store_in_this_process_is_not_recorded(spans: Recorded) -> None:
    """It costs nothing."""
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert("docs", POINTS)
    assert len(client.query_points("docs", query=[0.1, 0.2]).points) == 3
    client.close()
    assert spans.paid == []


def test_uninstrumented_the_client_is_as_it_was() -> None:
    """Every wrapped method is put back."""
    before = dict(vars(QdrantClient))
    with recorded(QdrantInstrumentor):
        pass
    assert dict(vars(QdrantClient)) == before
