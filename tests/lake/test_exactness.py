"""What was exported is what the ledger has, however changes, commits and exports follow one another."""

import random
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.errors import StoreUnavailable
from cost_exporter.store.finalise import finalise
from cost_exporter.store.rerate import apply_rerate, undo_rerate
from tests.domain.builders import call, link, price_by_sum
from tests.lake.exported import Lake, exported_sums, ledger_sums, rows
from tests.store.requests import problems
from tests.store.test_journal import ALL_TIME, COST, make_final
from tests.store.test_later_changes import NEW
from tests.store.test_periods import random_span

Database = psycopg.Connection[Any]
LATER = datetime(2026, 11, 30, tzinfo=UTC)
ACME = Attribution(tenant="acme")
POST = "select pg_current_xact_id()"
"""Gives a transaction its id, and with it holds the watermark."""


def test_only_what_is_final_is_exported_and_once(lake: Lake) -> None:
    """A workflow that runs is not there yet; a second run has nothing to write."""
    lake.commit(call("a"), call("b", attribution=ACME, model="gpt-unknown", quantities={}))
    assert lake.run().number == 0
    make_final(lake.database)
    lake.commit(call("c", trace=b"n" * 16))
    first = lake.run()
    assert (first.number, first.sums.row_count, first.sums.cost_usd) == (1, 2, str(COST))
    found = {row["SubAccountId"]: row for row in rows(lake.place)}
    assert (found["default"]["BilledCost"], found["default"]["x_Sign"], found["default"]["ChargeClass"]) == (
        COST,
        1,
        None,
    )
    assert (found["acme"]["BilledCost"], found["acme"]["x_CostStatus"]) == (None, "no_usage")
    assert (found["default"]["x_InputTokens"], found["default"]["x_Characters"]) == (1200, None)
    assert lake.run().number == 0
    make_final(lake.database)
    second = lake.run()
    assert (second.number, second.sums.row_count) == (2, 1)
    lake.check()


def test_a_correction_is_a_negative_and_a_positive_row(lake: Lake) -> None:
    """A re-rating: what was exported is taken back, what it is now is added, with its lines; the files stay."""
    lake.finish(call("a"))
    before = lake.run().files
    list(apply_rerate(lake.database_url, ALL_TIME, NEW, "new"))
    lake.run()
    taken_back, added = sorted((row for row in rows(lake.place) if row["ChargeClass"]), key=lambda row: row["x_Sign"])
    assert (taken_back["BilledCost"], added["BilledCost"]) == (-COST, 3 * COST)
    assert (taken_back["x_InputTokens"], added["x_InputTokens"]) == (-1200, 1200)
    assert {row["x_CorrectionReason"] for row in (taken_back, added)} == {"rerate:1"}
    assert sum(D(line["amount"]) for line in added["lines"]) == 3 * COST
    assert lake.place.read(before[0].name) is not None
    lake.check()


def test_a_call_that_turns_out_to_be_a_duplicate_is_taken_back(lake: Lake) -> None:
    """Duplicates are no rows; one that was billed before leaves its negative alone."""
    lake.finish(call("a", call_id="response:1"))
    lake.run()
    richer = call("b", call_id="response:1", quantities={"input_tokens": 1200, "output_tokens": 345}, scope="sdk")
    lake.commit(richer)
    lake.run()
    assert sum(row["x_Sign"] for row in rows(lake.place)) == 1
    assert exported_sums(lake.place) == ledger_sums(lake.database)


def test_what_commits_late_is_exported_once(lake: Lake) -> None:
    """A transaction held open over three exports: what has a higher id waits for it, and none is passed over."""
    lake.finish(call("a"))
    with psycopg.connect(lake.database_url) as held:
        held.execute(POST)
        lake.finish(call("b", trace=b"n" * 16))
        lake.commit(call("c"))
        assert lake.run().sums.request_count == 1  # call c is in the trace by now, and has a later id: taken out again
        assert lake.verify() == []
        lake.commit(call("d", trace=b"n" * 16))
        assert lake.run().number == 0
        assert lake.run().number == 0
        assert lake.verify() == []
    assert lake.run().sums.request_count == 3
    lake.check()


def test_two_exports_at_once_are_refused(lake: Lake) -> None:
    """The second one says that another is running."""
    from cost_exporter.store.database.locks import Lock, lock_session

    with psycopg.connect(lake.database_url, autocommit=True) as other:
        lock_session(other, Lock.EXPORT)
        with pytest.raises(StoreUnavailable, match="another export, or a check of one, is running"):
            lake.run()


def test_a_ledger_that_was_filled_before_is_exported_whole(lake: Lake) -> None:
    """What became final under an older version has no transaction id; later corrections of it have their own."""
    lake.finish(call("a"))
    lake.commit(call("b"))
    lake.database.execute("update callfare.trace set final_transaction_id = null")
    lake.database.execute("update callfare.journal set final_transaction_id = null, old_quote = null, new_quote = null")
    assert lake.run().sums.request_count == 2
    lake.commit(call("c"))
    assert lake.run().sums.request_count == 1
    lake.check()


def test_a_posting_of_a_service_of_the_version_before_is_counted_once(lake: Lake) -> None:
    """Such a service runs beside this one while it is upgraded, and leaves the new columns out."""
    assert lake.run().number == 0
    lake.finish(call("a"))
    lake.commit(call("b"))
    lake.database.execute("update callfare.journal set final_transaction_id = null, old_quote = null, new_quote = null")
    lake.run()
    assert exported_sums(lake.place) == ledger_sums(lake.database)


@pytest.mark.parametrize("seed", range(5))
def test_exports_add_up_to_the_rollups(lake: Lake, seed: int) -> None:
    """Late spans, conflicts, re-attribution, duplicates, re-rating and undoing, with exports at any moment.

    Meanwhile transactions that have an id are held open, so the exports see commits above their watermark.
    """
    rng = random.Random(seed)
    rerated: list[int] = []
    with ExitStack() as stack:
        held: list[Database] = []
        for _ in range(40):
            match rng.randrange(12):
                case 0:
                    *_, totals = apply_rerate(lake.database_url, ALL_TIME, NEW, "new")
                    rerated += [totals.rerate_id] if totals.rerate_id else []
                case 1 if rerated:
                    list(undo_rerate(lake.database_url, rerated.pop(), price_by_sum))
                case 2 | 3:
                    finalise(lake.database, idle=timedelta(0), now=LATER)
                case 4 | 5:
                    lake.run()
                    assert lake.verify() == []
                case 6:
                    held.append(stack.enter_context(psycopg.connect(lake.database_url)))
                    held[-1].execute(POST)
                case 7 if held:
                    held.pop(rng.randrange(len(held))).rollback()
                case _:
                    spans = (random_span(rng) for _ in range(rng.randrange(1, 5)))
                    lake.commit(*spans)
        for each in held:
            each.rollback()
    lake.commit(call("last", trace=b"l" * 16), link("root", parent=None, trace=b"A" * 16))
    while finalise(lake.database, idle=timedelta(0), now=LATER):
        pass
    lake.run()
    assert problems(lake.database) == []
    lake.check()
