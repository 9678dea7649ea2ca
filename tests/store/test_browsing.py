"""The lists that pages and programs look through: what they find, and by which index."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store import browsing
from cost_exporter.store.browsing import SORTS, Place, WorkflowFilter, list_workflows, place_after, stream_workflows
from cost_exporter.store.database.session import connect
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, Reader
from tests.domain.builders import call, link, price_by_sum
from tests.store.requests import request

Database = psycopg.Connection[Any]
ALWAYS = Period.always()


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def reader(ledger: LedgerStore, database_url: str) -> Iterator[Reader]:
    """Five workflows: Ann has calls in three, in one of them for another tenant, and a key in two of hers."""
    ann, keyed = Attribution(tenant="acme", user="ann"), Attribution(tenant="acme", user="ann", api_key="key-1")
    bob = Attribution(tenant="globex", user="bob", api_key="key-1")
    ledger.commit(
        [
            request(call("a", trace=trace(1), attribution=ann), call("b", trace=trace(1), attribution=bob)),
            request(call("a", trace=trace(2), attribution=keyed), call("b", trace=trace(2), attribution=keyed)),
            request(call("a", trace=trace(3), attribution=bob, start_ms=7000, end_ms=9000)),
            request(call("a", trace=trace(4), attribution=keyed, start_ms=5000, end_ms=5500)),
            request(call("a", trace=trace(5)), link("root", parent=None, trace=trace(5))),
        ],
        price_by_sum,
    )
    with connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield Reader(connection)


@pytest.mark.parametrize("looked_up_max", [0, 1, 3_000])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"user": "ann"}, {(1, "acme"), (2, "acme"), (4, "acme")}),
        ({"api_key": "key-1"}, {(1, "globex"), (2, "acme"), (3, "globex"), (4, "acme")}),
        ({"user": "ann", "api_key": "key-1"}, {(2, "acme"), (4, "acme")}),
        ({"user": "ann", "tenant": "globex"}, set()),
        ({"user": "bob", "tenant": "globex"}, {(1, "globex"), (3, "globex")}),
        ({"user": "nobody"}, set()),
    ],
)
def test_a_caller_finds_the_same_workflows_however_many_there_are(
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    looked_up_max: int,
    asked: dict[str, str],
    found: set[tuple[int, str]],
) -> None:
    """Looked up by the calls, or looked for among all: in each order, page by page and as a stream."""
    monkeypatch.setattr(browsing, "_LOOKED_UP_MAX", looked_up_max)
    wanted = WorkflowFilter(period=ALWAYS, **asked)  # type: ignore[arg-type]
    for sort in SORTS:
        listed: list[tuple[int, str]] = []
        after: Place | None = None
        while rows := list_workflows(reader, wanted, sort=sort, count=2, after=after):
            listed += [(row["trace_id"].int, row["tenant_id"]) for row in rows]
            after = place_after(rows[-1], sort)
        assert (len(listed), set(listed)) == (len(found), found)
    assert {(row["trace_id"].int, row["tenant_id"]) for row in stream_workflows(reader, wanted)} == found


MONTH = {"since": datetime(2026, 9, 1, tzinfo=UTC), "until": datetime(2026, 10, 1, tzinfo=UTC), "tenant": None}
OF_ANN = MONTH | {"user": "ann", "api_key": None, "trace_id": None}
OF_KEY = MONTH | {"user": None, "api_key": "key-1", "trace_id": None}


@pytest.mark.parametrize(
    ("name", "parameters", "index"),
    [
        ("unpriced_list", MONTH, "started_at_tenant_id_provider"),
        ("unread", MONTH, "started_at_idx"),
        ("traces_of_caller", OF_ANN, "user_id_idx"),
        ("traces_of_caller", OF_KEY, "api_key_id_idx"),
    ],
)
def test_a_list_of_calls_is_found_by_its_index(
    reader: Reader, database: Database, name: str, parameters: dict[str, Any], index: str
) -> None:
    """With so few rows any plan would do, so reading a whole table is made to look expensive."""
    del reader  # there are records, so there is a partition
    with database.transaction():
        database.execute("set local enable_seqscan = off")
        explained = sql.SQL("explain (format json) ") + sql.SQL(statement(name))
        ((found,),) = database.execute(explained, parameters | {"count": 20}).fetchall()
    text = json.dumps(found)
    assert index in text
    assert "Seq Scan" not in text
