"""Spans that only look like calls: a record where nothing is below them, none otherwise, in any order."""

import itertools
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call, Link
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import TRACE, call, price_by_sum
from tests.store.requests import clear, hashed, problems, request, rows, snapshot

AGENT = call("agent", parent="root", quantities={}, is_look_alike=True)
CHAIN = call("chain", parent="agent", quantities={}, is_look_alike=True)
CHAT = call("chat", parent="chain", quantities={"input_tokens": 100, "output_tokens": 7})


def arriving(*spans: Call) -> Facts:
    """A request as reading gives it: a look-alike is a link as well."""
    looks = [hashed(span) for span in spans if span.is_look_alike]
    links = [Link(trace_id=TRACE, span_id=each.span_id, parent_span_id=each.parent_span_id) for each in looks]
    return replace(request(*(span for span in spans if not span.is_look_alike), *links), look_alikes=looks)


def statuses(database: psycopg.Connection[Any]) -> list[Any]:
    return rows(database, "select span_id, status from callfare.cost_record order by span_id")


@pytest.mark.parametrize("order", list(itertools.permutations([AGENT, CHAIN, CHAT])))
def test_what_frames_a_call_makes_no_record(
    ledger: LedgerStore, database: psycopg.Connection[Any], order: tuple[Call, ...]
) -> None:
    """One by one in any order, and all again."""
    for span in (*order, *order):
        ledger.commit([arriving(span)], price_by_sum)
        assert problems(database) == []
    assert [status for _, status in statuses(database)] == ["priced"]
    assert rows(database, "select unpriced_count, duplicate_count from callfare.workflow_cost") == [(0, 0)]
    one_by_one = snapshot(database)
    clear(database)
    ledger.commit([arriving(*order)], price_by_sum)
    assert snapshot(database) == one_by_one


def test_the_last_of_them_is_a_call_without_usage(ledger: LedgerStore, database: psycopg.Connection[Any]) -> None:
    """It counts as unpriced, until a call below it arrives; the decision before is kept."""
    ledger.commit([arriving(AGENT)], price_by_sum)
    ledger.commit([arriving(CHAIN)], price_by_sum)
    assert statuses(database) == [(CHAIN.span_id.hex(), "no_usage")]
    assert rows(database, "select unpriced_count from callfare.workflow_cost") == [(1,)]
    ledger.commit([arriving(CHAT)], price_by_sum)
    assert statuses(database) == [(CHAT.span_id.hex(), "priced")]
    assert rows(database, "select count(*) from callfare.record_revision where reason = 'settled'") == [(2,)]
    assert problems(database) == []


def test_a_final_workflow_is_amended(ledger: LedgerStore, database: psycopg.Connection[Any]) -> None:
    """As by any other late span."""
    ledger.commit([arriving(AGENT)], price_by_sum)
    database.execute("update callfare.trace set finalised_at = now()")
    ledger.commit([arriving(CHAT)], price_by_sum)
    ledger.commit([arriving(CHAIN)], price_by_sum)
    found = rows(database, "select before_unpriced, after_unpriced from callfare.amendment order by amendment_id")
    assert found[-1] == (1, 0)
    assert problems(database) == []
