"""Closed periods: what a month cost at its closing and its corrections are what the ledger has, to the last digit."""

import random
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.span import Call, Link
from cost_exporter.errors import StoreError
from cost_exporter.store.database.roles import ONE
from cost_exporter.store.finalise import finalise
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.periods import close_period, list_periods, reopen_period
from cost_exporter.store.rerate import apply_rerate, undo_rerate
from tests.domain.builders import call, link, price_by_sum
from tests.store.requests import problems, request, rows
from tests.store.test_journal import ALL_TIME, COST, corrections, make_final
from tests.store.test_later_changes import NEW

Database = psycopg.Connection[Any]
SEPTEMBER, AUGUST = date(2026, 9, 1), date(2026, 8, 1)
MONTH_MS = 30 * 86_400_000  # from September 21 back into August
ACME, GLOBEX = Attribution(tenant="acme"), Attribution(tenant="globex")


def figures(database: Database) -> list[tuple[Any, ...]]:
    """Each tenant of each closing in force: at the close, corrected by, now."""
    return [
        (row["month"], row["tenant_id"], row["closed_cost_usd"], row["correction_usd"], row["cost_usd"])
        for row in list_periods(database)
        if row["reopened_at"] is None
    ]


def test_a_closed_month_has_its_sum_and_the_later_ones_have_corrections(
    ledger: LedgerStore, database: Database
) -> None:
    """A late span of a workflow that was final."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    closed = close_period(database, SEPTEMBER)
    assert closed.open_workflow_count == 0
    ledger.commit([request(call("b"))], price_by_sum)
    assert figures(database) == [("2026-09", "default", COST, COST, 2 * COST)]
    assert [row["reason"] for row in corrections(database)] == ["late"]
    assert problems(database) == []


@pytest.mark.parametrize("is_new_trace", [True, False])
def test_a_workflow_that_was_not_final_is_corrected_as_well(
    ledger: LedgerStore, database: Database, *, is_new_trace: bool
) -> None:
    """One that still ran at the close, and one of which nothing had arrived: no reader of final figures gets these."""
    ledger.commit([request(call("a"))], price_by_sum)
    assert close_period(database, SEPTEMBER).open_workflow_count == 1
    ledger.commit([request(call("b", trace=b"n" * 16 if is_new_trace else b"t" * 16))], price_by_sum)
    assert figures(database) == [("2026-09", "default", COST, COST, 2 * COST)]
    assert corrections(database) == []
    assert rows(database, "select kind, reason from callfare.journal where kind <> 'content'") == [("closed", "late")]
    assert problems(database) == []


def test_only_what_started_in_the_month_is_a_correction(ledger: LedgerStore, database: Database) -> None:
    """Half-open, in UTC: the last microsecond of August and the first of September."""
    close_period(database, AUGUST)
    start = int(datetime(2026, 9, 1, tzinfo=UTC).timestamp() * 1000) - 1_790_000_000_000
    before, after = call("a", start_ms=start - 1, end_ms=start), call("b", start_ms=start, end_ms=start + 1)
    ledger.commit([request(before, after)], price_by_sum)
    assert [row[1:4] for row in figures(database)] == [("default", D(0), COST)]
    assert problems(database) == []


def test_a_re_attribution_is_taken_back_from_one_and_billed_to_the_other(
    ledger: LedgerStore, database: Database
) -> None:
    """Each tenant sees its own side, also under row-level security."""
    ledger.commit([request(call("a", attribution=GLOBEX), call("b"))], price_by_sum)
    close_period(database, SEPTEMBER)
    ledger.commit([request(link("root", parent=None, attribution=ACME))], price_by_sum)
    expected = {"acme": (D(0), COST), "default": (COST, -COST), "globex": (COST, D(0))}
    assert {tenant: (closed, by) for _, tenant, closed, by, _ in figures(database)} == expected
    for tenant, (closed, by) in expected.items():
        with database.transaction():
            database.execute(
                "select set_config('callfare.tenant', %s, true), set_config('role', %s, true)", (tenant, ONE)
            )
            assert [(row["closed_cost_usd"], row["correction_usd"]) for row in list_periods(database)] == [(closed, by)]
    assert problems(database) == []


def test_one_tenant_is_closed_alone(ledger: LedgerStore, database: Database) -> None:
    """What the others do is no correction; closing all leaves the tenant's own closing as it is."""
    ledger.commit([request(call("a", attribution=ACME), call("b", attribution=GLOBEX))], price_by_sum)
    close_period(database, SEPTEMBER, "acme")
    more = request(call("c", attribution=ACME), call("d", attribution=GLOBEX))
    ledger.commit([more], price_by_sum)
    assert figures(database) == [("2026-09", "acme", COST, COST, 2 * COST)]
    close_period(database, SEPTEMBER)
    assert figures(database) == [
        ("2026-09", "globex", 2 * COST, D(0), 2 * COST),
        ("2026-09", "acme", COST, COST, 2 * COST),
    ]
    assert problems(database) == []


def test_what_cannot_be_closed_or_reopened_is_refused(ledger: LedgerStore, database: Database) -> None:
    """A month that runs, one that is closed, one that is open, and one whose corrections a closed month has."""
    this_month = datetime.now(UTC).date().replace(day=1)
    for month in (this_month, this_month + timedelta(days=32)):
        with pytest.raises(StoreError, match="is not over"):
            close_period(database, month.replace(day=1))
    with pytest.raises(StoreError, match="2026-08 is not closed for every tenant"):
        reopen_period(database, AUGUST)
    close_period(database, AUGUST)
    for tenant in (None, "acme"):
        with pytest.raises(StoreError, match="2026-08 is closed for every tenant already"):
            close_period(database, AUGUST, tenant)
    with pytest.raises(StoreError, match="closed for every tenant; reopen it without --tenant"):
        reopen_period(database, AUGUST, "acme")
    ledger.commit([request(call("a", start_ms=-MONTH_MS))], price_by_sum)
    database.execute("update callfare.correction set billed_month = '2026-09-01'")
    close_period(database, SEPTEMBER)
    with pytest.raises(StoreError, match="corrections of 2026-08 are billed in 2026-09, which is closed"):
        reopen_period(database, AUGUST)
    reopen_period(database, SEPTEMBER)
    reopen_period(database, AUGUST)
    assert figures(database) == []
    close_period(database, AUGUST)
    assert figures(database) == [("2026-08", "default", COST, D(0), COST)]
    assert problems(database) == []


def test_a_lost_correction_is_found(ledger: LedgerStore, database: Database) -> None:
    """By `verify`, with the month and both figures."""
    close_period(database, SEPTEMBER)
    ledger.commit([request(call("a"))], price_by_sum)
    assert problems(database) == []
    database.execute("delete from callfare.correction")
    ((problem, tenant, key, expected, found),) = problems(database)
    assert (problem, tenant, key["month"]) == ("closed_period", "default", "2026-09")
    assert (expected["cost_usd"], found["cost_usd"]) == (str(COST), "0")
    reopen_period(database, SEPTEMBER)
    assert problems(database) == []


def test_a_writer_that_began_before_the_close_is_in_its_sum(database_url: str, database: Database) -> None:
    """The close waits for it; and one that waits for the close makes a correction."""
    ledger = LedgerStore(database_url)
    ledger.commit([request(call("c", attribution=ACME))], price_by_sum)
    with psycopg.connect(database_url) as blocker:
        # Holds the writer up after it has taken the lock of the periods.
        blocker.execute("lock table callfare.record in share row exclusive mode")
        writer = threading.Thread(target=lambda: ledger.commit([request(call("a"))], price_by_sum))
        writer.start()
        wait_for_lock(database, "advisory", is_granted=True)
        closer = threading.Thread(target=lambda: close_in_its_own(database_url))
        closer.start()
        wait_for_lock(database, "advisory", is_granted=False)
    writer.join()
    closer.join()
    ledger.commit([request(call("b"))], price_by_sum)
    ledger.close()
    assert figures(database) == [
        ("2026-09", "acme", COST, D(0), COST),
        ("2026-09", "default", COST, COST, 2 * COST),
    ]
    assert problems(database) == []


def close_in_its_own(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        close_period(connection, SEPTEMBER)


def wait_for_lock(database: Database, kind: str, *, is_granted: bool) -> None:
    pause = threading.Event()
    for _ in range(600):
        query = (
            "select count(*) from pg_locks where locktype = %s and granted = %s and pid <> pg_backend_pid()"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        if rows(database, query, kind, is_granted)[0][0]:
            return
        pause.wait(0.05)
    raise AssertionError(f"no {kind} lock")


# --------------------------------------------------------------------------------------------- the law, at random


@pytest.fixture(params=range(6))
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


def random_span(rng: random.Random) -> Call | Link:
    """Late spans, conflicts, roots that re-attribute, shared calls, of four workflows and two months."""
    trace = bytes([65 + rng.randrange(4)]) * 16
    tenant = Attribution(tenant=rng.choice(["acme", "globex", "initech"]))
    if rng.random() < 0.15:
        return link("root", parent=None, trace=trace, attribution=tenant)
    start_ms = rng.choice([0, 0, -MONTH_MS])
    quantities: dict[str, int | D] = {} if rng.random() < 0.15 else {"characters": rng.randrange(1, 99)}
    return call(
        rng.choice("abcdefgh"),
        trace=trace,
        start_ms=start_ms,
        end_ms=start_ms + rng.randrange(1, 9) * 1000,
        quantities=quantities,
        call_id=rng.choice(["", "", "response:1", "response:2"]),
        attribution=tenant if rng.random() < 0.5 else Attribution(),
    )


def test_closed_and_corrected_is_what_the_ledger_has(
    ledger: LedgerStore, database: Database, database_url: str, rng: random.Random
) -> None:
    """Under late spans, conflicts, re-attribution, re-rating, undoing, and closing and reopening in between."""
    rerated: list[int] = []
    at_close: dict[int, dict[str, D]] = {}
    for _ in range(30):
        match rng.randrange(10):
            case 0:
                *_, totals = apply_rerate(database_url, ALL_TIME, NEW, "new")
                rerated += [totals.rerate_id] if totals.rerate_id else []
            case 1 if rerated:
                list(undo_rerate(database_url, rerated.pop(), price_by_sum))
            case 2:
                finalise(database, idle=timedelta(0), now=datetime(2026, 11, 30, tzinfo=UTC))
            case 3:
                change_a_period(database, rng, at_close)
            case _:
                ledger.commit([request(*(random_span(rng) for _ in range(rng.randrange(1, 5))))], price_by_sum)
        assert problems(database) == []
    for row in list_periods(database):
        if row["reopened_at"] is None and row["tenant_id"] is not None:
            before = at_close[row["closing_id"]].get(row["tenant_id"], D(0))
            now = spent(database, row["month"]).get(row["tenant_id"], D(0))
            assert before + row["correction_usd"] == now


def change_a_period(database: Database, rng: random.Random, at_close: dict[int, dict[str, D]]) -> None:
    month, tenant = rng.choice([AUGUST, SEPTEMBER]), rng.choice([None, None, "acme", "globex"])
    try:
        if rng.random() < 0.7:
            at_close[close_period(database, month, tenant).closing_id] = spent(database, f"{month:%Y-%m}")
        else:
            reopen_period(database, month, tenant)
    except StoreError:
        pass


def spent(database: Database, month: str) -> dict[str, D]:
    """What the records of a month cost each tenant."""
    query = (
        "select tenant_id, sum(cost_usd) from callfare.record where cost_usd is not null"
        " and to_char(started_at at time zone 'UTC', 'YYYY-MM') = %s group by 1"
    )
    return dict(rows(database, query, month))
