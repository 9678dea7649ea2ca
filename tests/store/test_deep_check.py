"""`verify --deep`: every column of every table is altered, and found; or it is on a list that says why it cannot be."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.settling.settle import Price
from cost_exporter.prices.loader import load_book
from cost_exporter.store.database.connection import connect_ledger
from cost_exporter.store.deep_check import BEGINNING, DeepStep, deep_check
from cost_exporter.store.finalise import finalise
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.periods import close_period
from cost_exporter.store.retention import purge_before
from tests.domain.builders import OTHER_TRACE, call, link
from tests.store.altered import OTHER_JSON, altered, columns
from tests.store.requests import RECEIVED_AT_UNIX_NS, problems, request

Database = psycopg.Connection[Any]
BOOK = load_book()
PRICE: Price = BOOK.price_of_call
OF_NO_BILL = "no bill depends on it"
STATED = "what a span stated, which is kept nowhere else: there is nothing to compare it with"
RECEIVED = "when a span came and what was known then, which is stated nowhere else"
PRICES = "no record changes with it: each keeps its lines; another price makes a version that no record names"
INDEX = "an index of a long trace made of its records; only how many it holds is compared, its losses cost time"
HISTORY = "what was there before; the records as they are now are compared with the last posting"
DECIDED = "somebody closed or reopened a month; the audit log has that as well"
CORRECTION = "in which month and by which quote a correction is billed; its sums are compared"
NOT_FOUND: dict[str, str] = {
    **dict.fromkeys(
        (
            *("alert", "alert_delivery", "alert_judge", "audit", "budget", "budget_account", "dead_letter", "outbox"),
            *(
                "outbox_given_up",
                "producer",
                *("ledger_identity", "posthog_call", "posthog_place"),
                "schema_migration",
                "service_seen",
                "spend_mark",
                "timing",
                "token",
            ),
            *("token_ever", "web_session", "rerate", "look_alike", "provider_call_old"),
            *("reservation", "reservation_arrival", "reservation_hold"),
            *("bucket.bucket", "bucket.created_at", "trace.version", "provider_call.added_at", "provider_call.bucket"),
            *("provider_call.is_shared", "trace_join.call_hash"),
            *("daily_rollup.slot", "hourly_rollup.slot", "spend_rollup.slot"),
        ),
        OF_NO_BILL,
    ),
    **dict.fromkeys(("fee_rule", "margin_rule", "revenue_rule"), "written anew from the configuration at each start"),
    **dict.fromkeys(("price", "price_alias", "price_book_version", "price_factor"), PRICES),
    **dict.fromkeys(("long_span", "long_trace"), INDEX),
    **dict.fromkeys(("closing.closed_at", "closing.reopened_at", "closing.tenant_id"), DECIDED),
    **{f"correction.{name}": CORRECTION for name in ("billed_month", "is_reversal", "posting_id", "quote")},
    **{f"trace.{name}": RECEIVED for name in ("finalised_at", "last_received_at", "shared_keys")},
    **{
        f"record.{name}": STATED
        for name in (
            *("content_hash", "error_type", "mode", "parent_span_id", "reported_cost_usd", "service_name", "span_id"),
            *("started_ns", "fact"),
        )
    },
    "record.book_version": "lines of a version that this program cannot make again are multiplied out and counted",
    "record.received_at": RECEIVED,
    "trace.final_transaction_id": "which export takes it: `verify --export` compares files with the ledger",
    **{
        f"journal.{name}": HISTORY
        for name in (
            *("content", "content_hash", "finalised_at", "posted_at", "span_count", "tenant_id", "transaction_id"),
            *("final_transaction_id", "old_quote", "new_quote"),
            *("old_tenant_id", "old_status", "old_cost_usd", "old_unpriced_count", "old_started_at", "old_quantities"),
            *("old_labels", "new_unpriced_count", "new_started_at", "new_quantities", "new_labels"),
            *("trace_id", "namespace"),
        )
    },
}


PURGED = ("daily_purged", "hourly_purged", "spend_purged")
DELETED = (
    *("record", "trace", "workflow_rollup", "workflow_total", "daily_rollup", "hourly_rollup", "spend_rollup"),
    *("provider_call", "trace_join", "rate", "closing_sum", "correction"),
)

DELETE = "delete from {0} where (tableoid, ctid) = (select tableoid, ctid from {0} order by {1} limit 1)"


@pytest.fixture
def filled(ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A connection to a ledger with a row for every kind of decision."""
    words = Attribution(
        tenant="acme",
        category="bot",
        task="answer",
        tier="gold",
        user="ann",
        api_key="k1",
        workflow_name="support",
        workflow_id="w-1",
        revenue_amount="1.50",
        revenue_currency="USD",
    )
    cached = {"input_tokens": 1200, "cache_read_tokens": 200, "output_tokens": 345}
    first = [
        link("root", parent=None, attribution=words),
        call("a", call_id="response:one", quantities=cached, service_name="agent"),
        call("b", start_ms=2000, end_ms=3000, has_failed=True, error_type="timeout"),
        call("c", start_ms=2000, end_ms=3000, model="never-heard-of"),
        call("d", start_ms=4000, end_ms=5000, vendor_cost_usd=D("0.25"), reported_cost_usd=D("0.25")),
        call("e", scope="scope.b", parent="a", call_id="response:one", quantities=cached),
    ]
    ledger.commit([request(*first)], PRICE)
    ledger.commit([request(call("f", trace=OTHER_TRACE, scope="scope.c", call_id="response:one"))], PRICE)
    received_at = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS // 10**9, UTC)
    assert finalise(database, idle=timedelta(hours=1), now=received_at + timedelta(days=2))
    close_period(database, received_at.date().replace(day=1))
    ledger.commit([request(call("g", start_ms=6000, end_ms=7000))], PRICE)
    monkeypatch.setattr("cost_exporter.store.ledger.long_traces.LONG_TRACE_SPANS", 0)
    for name in ("h", "i"):
        ledger.commit([request(call(name, trace=b"l" * 16, end_ms=ord(name) * 1000))], PRICE)
    with connect_ledger(database.info.dsn) as connection:
        connection.autocommit = True
        connection.execute(OTHER_JSON)  # pyright: ignore[reportArgumentType]
        yield connection


def checked(database: Database, *, after: UUID = BEGINNING) -> list[DeepStep]:
    prices = {BOOK.version: PRICE, "": PRICE}
    return list(deep_check(database, prices.get, after=after))


def differences(database: Database) -> set[str]:
    """What is found wrong, by kind. The deep check is asked where the sums find nothing."""
    try:
        with database.transaction():
            found = {row[0] for row in problems(database)}
    except psycopg.DataError:
        return {"unreadable"}
    return found or {each.problem for step in checked(database) for each in step.differences}


def test_every_altered_column_is_found_or_listed(filled: Database) -> None:
    """Enumerated from the catalogue, so that a new column has to be judged; a listed one must really go unseen."""
    assert [each for step in checked(filled) for each in step.differences] == []
    assert differences(filled) == set()
    every = columns(filled)
    assert NOT_FOUND.keys() <= {str(each) for each in every} | {each.table for each in every}
    wrong: list[str] = []
    for column in every:
        is_listed = str(column) in NOT_FOUND
        if column.table in NOT_FOUND or column.table in PURGED:
            continue
        with altered(filled, column) as is_altered:
            is_found = not is_altered or bool(differences(filled))
        if is_altered and is_found == is_listed:
            wrong.append(f"{column} is {'found' if is_found else 'not found'}")

    assert not wrong, "\n".join(wrong)


def test_a_deleted_row_is_found(filled: Database) -> None:
    """Any row of what a bill depends on, also where foreign keys were no obstacle. The journal's are the history."""
    seen: dict[str, bool] = {}
    for table in (*DELETED, "journal"):
        with filled.transaction(force_rollback=True):
            filled.execute("set session_replication_role = replica")
            name = sql.Identifier("callfare", table)
            last = sql.SQL("unit <> 'input_tokens'" if table == "rate" else "ctid is null")
            gone = filled.execute(sql.SQL(DELETE).format(name, last))
            assert gone.rowcount == 1
            seen[table] = bool(differences(filled))
    assert seen == dict.fromkeys(DELETED, True) | {"journal": False}


def test_altered_closing_balances_are_found(ledger: LedgerStore, database: Database) -> None:
    """What purged months had added to each sum: every measure of it."""
    words = Attribution(user="ann")
    ledger.commit([request(call("a", attribution=words), call("b", model="unheard-of", attribution=words))], PRICE)
    assert purge_before(database, date(2027, 1, 1))
    database.execute(OTHER_JSON)  # pyright: ignore[reportArgumentType]
    purged = [column for column in columns(database) if column.table in PURGED]
    unseen: list[str] = []
    for column in purged:
        with altered(database, column) as is_altered:
            if is_altered and not problems(database):
                unseen.append(str(column))
    assert len(purged) > 30
    assert unseen == []


def test_a_check_goes_on_after_a_place(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, each with its place: what was checked before an interruption is not checked again."""
    monkeypatch.setattr("cost_exporter.store.deep_check._TRACES_AT_ONCE", 1)
    steps = checked(filled)
    assert [step.place.bytes for step in steps] == sorted([b"l" * 16, b"t" * 16, OTHER_TRACE])
    assert [step.records for step in steps] == [2, 6, 1]
    later = checked(filled, after=steps[0].place)
    assert later == steps[1:]


def test_lines_of_a_book_that_is_gone_are_multiplied_out(filled: Database) -> None:
    """Prices of a version that cannot be made again are not judged, and counted; an amount that is no product is."""
    (known,) = deep_check(filled, lambda _: None)
    assert known.differences == []
    assert known.unknown_book_count == known.records - 2  # the others are duplicates
    with filled.transaction(force_rollback=True):
        filled.execute("update callfare.rate set price_usd = '0.7' where unit = 'output_tokens'")
        (step,) = deep_check(filled, lambda _: None)
        assert {each.problem for each in step.differences} == {"line"}
