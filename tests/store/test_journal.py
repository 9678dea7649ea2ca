"""The journal: every change of what was final, with both sides, read once each however late it commits."""

import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.errors import StoreError
from cost_exporter.store.finalise import finalise
from cost_exporter.store.journal import JOURNAL_START, JournalPlace, read_corrections
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.rerate import ReratedPeriod, apply_rerate, undo_rerate
from tests.domain.builders import call, link, price_by_sum, span_id
from tests.store.requests import RECEIVED_AT_UNIX_NS, problems, request, rows
from tests.store.test_later_changes import NEW
from tests.store.test_shared_ids import BOUND, one_after_the_other

Database = psycopg.Connection[Any]
ALL_TIME = ReratedPeriod(since=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(9999, 1, 1, tzinfo=UTC))
COST = D("0.000001") * (1200 + 345)


def make_final(database: Database) -> None:
    received_at = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS // 10**9, UTC)
    assert finalise(database, idle=timedelta(hours=1), now=received_at + timedelta(days=2))


def corrections(database: Database) -> list[dict[str, Any]]:
    found, _ = read_corrections(database, JOURNAL_START, count=1000)
    return found


def sides(database: Database) -> list[tuple[Any, ...]]:
    return [
        (each["reason"], each["span_id"][-2:], each["old_cost_usd"], each["new_cost_usd"])
        for each in corrections(database)
    ]


A, B = (span_id(name).hex()[-2:] for name in "ab")


def test_what_was_not_final_makes_no_posting(ledger: LedgerStore, database: Database) -> None:
    """A workflow that runs changes all the time: that is no correction."""
    ledger.commit([request(call("a"))], price_by_sum)
    ledger.commit([request(call("b"), link("root", parent=None, attribution=Attribution(tenant="acme")))], price_by_sum)
    assert corrections(database) == []


def test_a_late_span_has_no_old_side(ledger: LedgerStore, database: Database) -> None:
    """It adds its cost and quantities, under its labels, to the hour of its start."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    ledger.commit([request(call("b", attribution=Attribution(user="ann")))], price_by_sum)
    (found,) = corrections(database)
    assert (found["reason"], found["span_id"], found["tenant_id"]) == ("late", span_id("b").hex(), "default")
    assert (found["old_status"], found["old_cost_usd"], found["old_quantities"]) == (None, None, None)
    assert (found["new_status"], found["new_cost_usd"], found["new_unpriced_count"]) == ("priced", COST, 0)
    assert found["new_quantities"] == {"input_tokens": 1200, "output_tokens": 345}
    assert found["new_labels"]["user_id"] == "ann"
    assert rows(database, "select before_usd, after_usd, span_count from callfare.amendment") == [(COST, 2 * COST, 1)]


def test_a_content_that_wins_late_has_both_sides(ledger: LedgerStore, database: Database) -> None:
    """The same span with more in it; the loser is in the history as before."""
    ledger.commit([request(call("a", quantities={"characters": 10}))], price_by_sum)
    make_final(database)
    ledger.commit([request(call("a", end_ms=2000, quantities={"characters": 30}))], price_by_sum)
    assert sides(database) == [("conflict", A, D("0.000010"), D("0.000030"))]
    assert rows(database, "select reason, content->'quantities' from callfare.record_revision") == [
        ("conflict", {"characters": 10})
    ]


def test_a_root_that_comes_late_moves_the_account(ledger: LedgerStore, database: Database) -> None:
    """The old tenant is named, to take it back there."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    ledger.commit([request(link("root", parent=None, attribution=Attribution(tenant="acme")))], price_by_sum)
    (found,) = corrections(database)
    assert (found["reason"], found["old_tenant_id"], found["new_tenant_id"]) == ("attribution", "default", "acme")
    assert (found["old_cost_usd"], found["new_cost_usd"], found["tenant_id"]) == (COST, COST, "acme")


def test_a_better_telling_settles_the_call_anew(ledger: LedgerStore, database: Database) -> None:
    """What was billed becomes a duplicate, and the late span is billed: two postings that cancel."""
    ledger.commit([request(call("a", call_id="response:1"))], price_by_sum)
    make_final(database)
    richer = call("b", call_id="response:1", quantities={"input_tokens": 1200, "output_tokens": 345}, scope="sdk")
    ledger.commit([request(richer)], price_by_sum)
    found = {row[1]: row for row in sides(database)}
    assert sorted(row[0] for row in found.values()) in (["late", "settled"], ["late"])
    balance = sum((row[3] or 0) - (row[2] or 0) for row in found.values())
    assert balance == 0


def test_an_id_that_turns_out_to_be_shared_parts_its_calls(ledger: LedgerStore, database: Database) -> None:
    """Eight calls were billed as one; the ninth shows that they are many, and each says why it costs something now."""
    *calls, last = one_after_the_other(BOUND + 1)
    ledger.commit([request(*calls)], price_by_sum)
    make_final(database)
    ledger.commit([request(last)], price_by_sum)
    found = sides(database)
    assert {reason for reason, *_ in found} == {"unjoined"}
    assert len(found) == BOUND - 1
    assert all(old is None and new > 0 for _, _, old, new in found)


def test_re_rating_and_its_undoing_are_postings(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """By number; what was not final is re-rated without any."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    ledger.commit([request(call("b", trace=b"o" * 16))], price_by_sum)
    *_, totals = apply_rerate(database_url, ALL_TIME, NEW, "new")
    assert totals.records == 2
    assert totals.rerate_id is not None
    list(undo_rerate(database_url, totals.rerate_id, price_by_sum))
    assert sides(database) == [
        (f"rerate:{totals.rerate_id}", A, COST, 3 * COST),
        (f"undo:{totals.rerate_id}", A, 3 * COST, COST),
    ]


def test_the_corrections_and_what_was_final_sum_up_to_what_is_now(ledger: LedgerStore, database: Database) -> None:
    """Whoever took over the figures when they became final, and every posting since, has those of today."""
    ledger.commit([request(call("a", call_id="response:1"), call("c"))], price_by_sum)
    make_final(database)
    taken_over = rows(database, "select tenant_id, sum(total_cost_usd) from callfare.workflow_cost group by 1")
    account = dict(taken_over)
    for spans in (
        [call("b", call_id="response:1", scope="sdk")],
        [link("root", parent=None, attribution=Attribution(tenant="acme"))],
        [call("c", end_ms=5000, quantities={"characters": 99})],
        [call("d", attribution=Attribution(tenant="globex"))],
    ):
        ledger.commit([request(*spans)], price_by_sum)
    for each in corrections(database):
        for side, sign in (("old", -1), ("new", 1)):
            tenant = each[f"{side}_tenant_id"]
            if tenant is not None:
                account[tenant] = account.get(tenant, D(0)) + sign * (each[f"{side}_cost_usd"] or D(0))
    now = rows(database, "select tenant_id, sum(total_cost_usd) from callfare.workflow_cost group by 1")
    assert {tenant: cost for tenant, cost in account.items() if cost} == dict(now)
    assert problems(database) == []


# ---------------------------------------------------------------------------------------------------- the watermark

POST = """
insert into callfare.journal (kind, reason, tenant_id, namespace, trace_id, span_id, finalised_at, new_tenant_id,
  new_status)
values ('record', 'late', 'acme', 'acme', gen_random_uuid(), %s, now(), 'acme', 'priced')
"""


@pytest.fixture
def connect(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as closed_with_the_rest:
        opened: list[Database] = [closed_with_the_rest]

        def make() -> Database:
            opened.append(psycopg.connect(database_url))
            return opened[-1]

        yield make
        for each in opened[1:]:
            each.close()


def names(found: list[dict[str, Any]]) -> list[int]:
    return [int(each["span_id"], 16) for each in found]


def test_a_transaction_that_is_open_holds_back_what_came_after_it(
    database: Database, connect: Callable[[], Database]
) -> None:
    """Its posting has the lower number and commits last. By running numbers it would have been passed over."""
    early, late = connect(), connect()
    early.execute(POST, (1,))
    late.execute(POST, (2,))
    late.commit()
    assert rows(database, "select span_id from callfare.journal") == [(2,)]
    found, place = read_corrections(database, JOURNAL_START, count=10)
    assert (found, place) == ([], JOURNAL_START)
    early.commit()
    found, place = read_corrections(database, place, count=10)
    assert names(found) == [1, 2]
    assert read_corrections(database, place, count=10) == ([], place)


def test_a_transaction_that_is_given_up_holds_back_nothing(database: Database, connect: Callable[[], Database]) -> None:
    """What was rolled back is not read, and the rest is."""
    early, late = connect(), connect()
    early.execute(POST, (1,))
    late.execute(POST, (2,))
    late.commit()
    early.rollback()
    assert names(corrections(database)) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_every_posting_is_read_once(database: Database, connect: Callable[[], Database], seed: int) -> None:
    """Six writers open and end transactions at random, and a reader takes up to three postings in between."""
    rng, number = random.Random(seed), itertools.count(1)
    writers = [connect() for _ in range(6)]
    committed: set[int] = set()
    waiting: list[set[int]] = [set() for _ in writers]
    read: list[int] = []
    place = JOURNAL_START
    for _ in range(120):
        chosen = rng.randrange(len(writers))
        match rng.randrange(4):
            case 0 | 1:
                posting = next(number)
                writers[chosen].execute(POST, (posting,))
                waiting[chosen].add(posting)
            case 2:
                committed |= waiting[chosen]
                waiting[chosen] = set()
                writers[chosen].commit()
            case _:
                found, place = read_corrections(database, place, count=3)
                read += names(found)
    for writer in writers:
        writer.rollback()
    while True:
        found, place = read_corrections(database, place, count=3)
        read += names(found)
        if not found:
            break
    assert len(read) == len(set(read))
    assert set(read) == committed


@pytest.mark.parametrize("place", [JOURNAL_START, JournalPlace(transaction_id=2**40, posting_id=1)])
def test_a_journal_of_another_server_is_refused(database: Database, place: JournalPlace) -> None:
    """Restored there, its transaction ids are of the future: the reader would wait for them, or pass over new ones."""
    if place is JOURNAL_START:
        database.execute(POST, (1,))
        database.execute("update callfare.journal set transaction_id = '1099511627776'")
    with pytest.raises(StoreError, match="restored from another server"):
        read_corrections(database, place, count=1)
    database.execute("update callfare.journal set transaction_id = default")
    assert len(corrections(database)) == (place is JOURNAL_START)
