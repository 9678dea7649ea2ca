"""Pinecone's SDK against a fake that counts read units and vectors."""

import asyncio
from collections.abc import Iterator
from importlib import metadata
from math import ceil
from typing import Any

import pinecone
import pytest

from callfare import attributes as names
from callfare.instrumentation.pinecone import PineconeInstrumentor
from callfare.instrumentation.pinecone._usage import index_of
from tests.instrumentation.fakes.vectors import FakePinecone
from tests.support.recording import Recorded, recorded

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


def test_writes_are_estimated_in_write_units(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """No answer states them: one for each kilobyte of a request, five at least."""
    metadata = {"text": "canary" * 500}  # 4 + 3,000 bytes
    index.upsert(vectors=[{"id": "1", "values": VECTOR}], namespace="n")
    index.upsert(vectors=[("22", [0.5] * 768, metadata), ("33", [0.5] * 768, metadata)], namespace="n")
    index.upsert(vectors=[pinecone.Vector(id="a", values=VECTOR)], namespace="n")
    assert spans.values(names.BILLED_QUANTITY) == [5, ceil(2 * (2 + 4 * 768 + 3_004) / 1_000), 5]
    assert spans.values(names.BILLED_UNIT) == ["write_unit"] * 3
    assert spans.values(names.USAGE_SOURCE) == ["estimated"] * 3
    assert spans.total(f"{names.USAGE_PREFIX}vectors") == fake.vectors == 4
    assert "canary" not in spans.text()


def test_every_batch_is_a_request_of_its_own(fake: FakePinecone, index: Any, spans: Recorded) -> None:
    """Five units at least for each."""
    vectors = [(str(number), VECTOR) for number in range(7)]
    index.upsert(vectors=vectors, namespace="n", batch_size=3, show_progress=False)
    assert spans.total(names.BILLED_QUANTITY) == 3 * 5
    assert spans.total(f"{names.USAGE_PREFIX}vectors") == fake.vectors == 7


def test_an_update_counts_what_was_there_before(index: Any, spans: Recorded) -> None:
    """As large as what is written; how much a filter meets is not known."""
    index.update(id="1", values=[0.5] * 1_000, namespace="n")
    assert spans.one[names.BILLED_QUANTITY] == ceil(2 * (len("idvalues") + 1 + 4_000) / 1_000)
    if MAJOR >= 9:
        index.update(filter={"a": 1}, set_metadata={"b": "canary"}, namespace="n")
        assert spans.values(names.USAGE_SOURCE)[1] == "unknown"


def test_texts_that_pinecone_embeds_become_vectors_there(index: Any, spans: Recorded) -> None:
    """Of 1,024 dimensions, unless told otherwise."""
    records = [{"_id": str(number), "text": "canary"} for number in range(10)]
    if MAJOR >= 9:
        index.upsert_records(namespace="n", records=records)
    else:
        index.upsert_records("n", records)
    assert spans.one[names.BILLED_QUANTITY] == ceil(10 * (len("_id") + 1 + len("text") + 6 + 4 * 1_024) / 1_000)
    assert "canary" not in spans.text()


def test_tokens_that_were_embedded_are_counted(index: Any, spans: Recorded) -> None:
    """They have a price of their own: a search by text is more than its read units."""
    index.search(namespace="n", **_search())
    assert spans.one[names.INPUT_TOKENS] == 4


def test_a_search_that_reranks_counts_its_rerank_units(index: Any, spans: Recorded) -> None:
    """They have a price of their own, by the model that reranks: without them the search would look cheaper."""
    rerank = {"model": "bge-reranker-v2-m3", "rank_fields": ["chunk"], "top_n": 1}
    index.search(namespace="n", rerank=rerank, **_search())
    index.search(namespace="n", **_search())
    assert spans.values(f"{names.USAGE_PREFIX}rerank_units") == [1, None]
    assert spans.values(names.BILLED_QUANTITY) == [6, 6]


@pytest.mark.skipif(MAJOR < 10, reason="came with 10")
@pytest.mark.parametrize("is_async", [False, True])
def test_documents_are_recorded_like_vectors(fake: FakePinecone, spans: Recorded, is_async: bool) -> None:
    """Read units as answered, write units by size, tokens as answered."""
    searched = {"namespace": "n", "score_by": [{"type": "text", "fields": ["body"], "query": "canary"}], "top_k": 1}
    written = {"namespace": "n", "documents": [{"_id": "1", "body": "canary"}]}
    if is_async:
        from pinecone.async_client.async_index import AsyncIndex

        async def call() -> None:
            async with AsyncIndex(host=fake.url, api_key="k") as index:
                await index.documents.search(**searched)
                await index.documents.upsert(**written)

        asyncio.run(call())
    else:
        index = _index(fake)
        index.documents.search(**searched)
        index.documents.upsert(**written)
        _close(index)
    assert spans.values(names.BILLED_QUANTITY) == [fake.read_units, 5] == [3, 5]
    assert spans.values(names.BILLED_UNIT) == ["read_unit", "write_unit"]
    assert spans.values(names.INPUT_TOKENS) == [None, 11]
    assert "canary" not in spans.text()


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
