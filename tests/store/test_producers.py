"""Holes in a producer's running numbers say how many spans never arrived."""

from typing import Any

import psycopg

from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import request

Database = psycopg.Connection[Any]


def numbered(name: str, sequence: int, producer: str = "p1"):
    return call(name, call_id=f"response:{name}", producer_id=producer, producer_sequence=sequence)


def gaps(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "select namespace, producer_id, missing_count from callfare.producer_gap order by producer_id"
    ).fetchall()


def test_a_hole_counts_until_it_is_filled(ledger: LedgerStore, database: Database) -> None:
    """Numbers 1, 2 and 5 arrived: two are missing; 3 and 4 arrive late and the gap closes."""
    ledger.commit([request(numbered("a", 1), numbered("b", 2)), request(numbered("e", 5))], price_by_sum)
    assert gaps(database) == [("default", "p1", 2)]
    ledger.commit([request(numbered("d", 4))], price_by_sum)
    ledger.commit([request(numbered("c", 3))], price_by_sum)
    assert gaps(database) == []


def test_repetition_fills_no_hole(ledger: LedgerStore, database: Database) -> None:
    """The same span again is not another one."""
    for _ in range(3):
        ledger.commit([request(numbered("c", 3))], price_by_sum)
    assert gaps(database) == [("default", "p1", 2)]


def test_producers_are_counted_apart(ledger: LedgerStore, database: Database) -> None:
    """Each process counts for itself, and so does each tenant's credential."""
    ledger.commit(
        [request(numbered("a", 1), numbered("b", 2, "p2")), request(numbered("c", 4), namespace="acme")], price_by_sum
    )
    assert gaps(database) == [("acme", "p1", 3), ("default", "p2", 1)]


def test_spans_without_a_number_are_not_counted(ledger: LedgerStore, database: Database) -> None:
    """Other people's instrumentations number nothing."""
    ledger.commit([request(call("a"))], price_by_sum)
    assert gaps(database) == []
