"""Pinecone's SDK against a fake that counts read units and vectors."""

import asyncio
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pinecone
import pytest

from callfare import attributes as names
from callfare.instrumentation.pinecone import PineconeInstrumentor
from callfare.instrumentation.pinecone._usage import index_of
from tests.instrumentation.fakes.vectors import FakePinecone
from tests.instrumentation.recording import Recorded, recorded

MAJOR = int(metadata.version("pinecone").split(".")[0])
VECTOR = [0.1, 0.2]


@pytest.fixture
def fake() -> Iterator[FakePinecone]:
    with FakePinecone() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(PineconeInstrumentor) as record:
        yield record


@pytest.fixture
def index(fake: FakePinecone, spans: Recorded) -> Iterator[Any]:
    """Made after instrumenting: from 10 on an index binds its methods as it is made."""
    made = _index(fake)
    yield made
    _close(made)


def _close(index: Any) -> None:
    getattr(index, "close", lambda: None)()


def _index(fake: FakePinecone) -> Any:
    client = pinecone.Pinecone(api_key="k", host=fake.url) if MAJOR < 9 else pinecone.Pinecone(api_key="k")
    return client.Index(host=fake.url)


def test_a_query_is_billed_in_the_units_of_the_answer(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """Read units are the vendor's own meter."""
    answer = index.query(vector=VECTOR, top_k=7, namespace="n")
    assert answer.matches[0].id == "canary"
    assert spans.total(names.BILLED_QUANTITY) == fake.read_units == 7
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "retrieval",
            names.PROVIDER_NAME: "pinecone",
            names.BILLED_UNIT: "read_unit",
            names.USAGE_SOURCE: "vendor_body",
            "db.operation.name": "query",
            "gen_ai.retrieval.top_k": 7,
        }.items()
    )
    assert "canary" not in spans.text()


def test_every_way_to_read_is_counted(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """Fetch and search state their units too; a wrapper of another is no second read."""
    index.fetch(ids=["a"], namespace="n")
    index.search(namespace="n", **_search())
    index.search_records(namespace="n", **_search())
    assert spans.total(names.BILLED_QUANTITY) == fake.read_units == 1 + 6 + 6


def _search() -> dict[str, Any]:
    inputs = {"inputs": {"text": "canary"}, "top_k": 2}
    return inputs if MAJOR >= 9 else {"query": inputs}


def test_an_answer_without_units_is_unknown(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """Unknown is not zero."""
    fake.states_usage = False
    index.query(vector=VECTOR, top_k=7)
    assert names.BILLED_QUANTITY not in spans.one
    assert spans.one[names.USAGE_SOURCE] == "unknown"


def test_writes_count_vectors(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """Write units are stated nowhere."""
    index.upsert(vectors=[{"id": str(number), "values": VECTOR} for number in range(3)], namespace="n")
    assert spans.total(f"{names.USAGE_PREFIX}vectors") == fake.vectors == 3


def test_a_refusal_is_free(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """The SDK's own exception."""
    fake.refuse_next = [403]
    with pytest.raises(Exception, match=r"403|[Ff]orbidden|refused"):
        index.query(vector=VECTOR, top_k=1)
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 403}.items()


@pytest.mark.skipif(MAJOR < 9, reason="another class, which needs an extra, before")
def test_asynchronous_reads_are_counted(fake: FakePinecone, spans: Recorded) -> None:
    """`AsyncIndex`."""
    from pinecone.async_client.async_index import AsyncIndex

    async def call() -> None:
        async with AsyncIndex(host=fake.url, api_key="k") as index:
            await index.query(vector=VECTOR, top_k=5)

    asyncio.run(call())
    assert spans.total(names.BILLED_QUANTITY) == fake.read_units == 5


def test_the_index_is_named_by_its_host() -> None:
    """With its project, as two projects may use one name."""
    assert index_of("https://support-abc123.svc.us-east-1.pinecone.io") == "support-abc123"
    assert index_of("127.0.0.1:99") == "127.0.0.1"
    assert index_of(None) == ""


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakePinecone) -> None:
    """Every wrapped method is put back; an index that bound a wrapper records nothing any more."""
    first = _index(fake)
    kind = type(first)
    _close(first)
    before = dict(vars(kind))
    with recorded(PineconeInstrumentor) as spans:
        index = _index(fake)
    assert dict(vars(kind)) == before
    index.query(vector=VECTOR, top_k=1)
    _close(index)
    assert spans.paid == []
