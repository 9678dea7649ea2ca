"""What happens to records later: finalising, re-rating and its undoing, retention, replay."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import DeadLetter, Receipt
from cost_exporter.domain.quote import Line, Quote, Rate
from cost_exporter.domain.span import EmitterRank
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreError
from cost_exporter.store.dead_letters import replay
from cost_exporter.store.finalise import finalise, forget_empty_traces
from cost_exporter.store.ledger import trace_state
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.rerate import (
    ReratedPeriod,
    apply_rerate,
    preview_rerate,
    resume_rerate,
    retry_unpriced,
    undo_rerate,
)
from cost_exporter.store.retention import purge_before
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum, span_id
from tests.store.requests import RECEIVED_AT_UNIX_NS, problems, request, rows, snapshot

Database = psycopg.Connection[Any]
RECEIVED_AT = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS // 1_000_000_000, UTC)
IDLE = timedelta(seconds=300)
LATER_MS = 30 * 86_400_000
"""From September into October."""
ALL_TIME = ReratedPeriod(since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2030, 1, 1, tzinfo=UTC))


def by_rate(rate: str, version: str) -> Callable[[UsageRecord], Quote]:
    """A book with one rate for a unit of anything."""

    def price(usage: UsageRecord) -> Quote:
        units = sum((D(each) for each in usage.quantities.values()), D(0))
        line = Line(
            rate=Rate("requests", D(rate), D(1), version),
            quantity=units,
            billed_quantity=units,
            amount_usd=units * D(rate),
        )
        return Quote(amount_usd=units * D(rate), status="priced", lines=(line,), book_version=version)

    return price


OLD, NEW = by_rate("0.000001", "old"), by_rate("0.000003", "new")


def old_if_counted(usage: UsageRecord) -> Quote:
    """The old book, and no price for a call that tells no quantity."""
    if not usage.quantities:
        return Quote(amount_usd=None, status="no_usage", lines=(), book_version="old")
    return OLD(usage)


# ------------------------------------------------------------------------------------------------------- settled


def test_a_late_span_that_moves_the_decision_leaves_what_was_decided(ledger: LedgerStore, database: Database) -> None:
    """Billed until a richer span of the call came: its cost of then stays as a revision, once."""
    poorer = call("a", call_id="response:1", quantities={"characters": 10})
    richer = call(
        "b", scope="sdk", emitter_rank=EmitterRank.NATIVE, call_id="response:1", quantities={"characters": 10}
    )
    for spans in ([poorer], [richer], [poorer, richer]):
        ledger.commit([request(*spans)], OLD)
    columns = "content->>'status', content->>'cost_usd', content->'usage'"
    assert rows(database, f"select reason, span_id, {columns} from callfare.record_revision") == [
        ("settled", span_id("a").hex(), "priced", str(D("0.000001") * 10), {"characters": 10})
    ]


def test_a_decision_that_moves_back_and_forth_leaves_each_of_its_states(
    ledger: LedgerStore, database: Database
) -> None:
    """The best telling so far is billed, each better one takes over: every state but the last is kept."""
    ranks = [EmitterRank.PLAIN, EmitterRank.GENAI, EmitterRank.NATIVE]
    for name, rank in zip("abc", ranks, strict=True):
        ledger.commit([request(call(name, scope=name, emitter_rank=rank, call_id="response:1"))], OLD)
    query = "select span_id, content->>'status', content->>'duplicate_of' from callfare.record_revision order by 1, 2"
    assert rows(database, query) == [
        (span_id("a").hex(), "duplicate", span_id("b").hex()),
        (span_id("a").hex(), "priced", None),
        (span_id("b").hex(), "priced", None),
    ]


def test_a_root_that_arrives_late_leaves_no_revision(ledger: LedgerStore, database: Database) -> None:
    """On whose account a call goes is no decision on the call: each workflow would write everything twice."""
    ledger.commit([request(call("a"))], OLD)
    ledger.commit([request(link("root", parent=None, attribution=Attribution(tenant="acme", category="bot")))], OLD)
    assert rows(database, "select tenant_id from callfare.cost_record") == [("acme",)]
    assert rows(database, "select * from callfare.record_revision") == []


def test_the_root_of_a_joined_trace_full_of_links_still_ends_it(
    ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives last, when there is no room for links any more; but only it says whose the workflow is."""
    monkeypatch.setattr(trace_state, "JOINED_LINKS_MAX", 2)
    other = call("x", trace=OTHER_TRACE, call_id="response:1")
    ledger.commit([request(call("a", call_id="response:1"), other, *[link(name) for name in "bcd"])], OLD)
    roots = [link(name, parent=None, attribution=Attribution(tenant="acme")) for name in ("root", "two")]
    for root in roots:
        ledger.commit([request(root)], OLD)
    ours = "where trace_id = '74747474-7474-7474-7474-747474747474'"
    assert rows(database, f"select state, tenant_id from callfare.trace {ours}") == [("completed", "acme")]
    assert rows(database, f"select tenant_id from callfare.cost_record {ours}") == [("acme",)]
    assert rows(database, "select count(*) from callfare.trace, jsonb_object_keys(roots)") == [(1,)]


# ------------------------------------------------------------------------------------------------------ finalise


def test_an_idle_workflow_becomes_final(ledger: LedgerStore, database: Database) -> None:
    """After the idle time a workflow whose root ended is final, one without a root waits longer."""
    ledger.commit([request(call("a"), link("root", parent=None)), request(call("b", trace=OTHER_TRACE))], OLD)
    assert finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE) == []
    (final,) = finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 2)
    assert (final.tenant, final.record_count) == ("default", 1)
    assert (final.total_cost_usd, final.unpriced_count) == (D("0.000001") * (1200 + 345), 0)
    assert final.root_span_id == span_id("root").hex()
    assert len(finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 20)) == 1
    assert rows(database, "select state, outcome from callfare.workflow_cost order by outcome") == [
        ("finalised", "completed"),
        ("finalised", "running"),
    ]


def test_a_final_workflow_tells_its_cost_by_tenant_tier_and_task_once(ledger: LedgerStore, database: Database) -> None:
    """A duplicate adds nothing, an unknown cost is counted, and what comes late does not make it final again."""
    answer = Attribution(tenant="acme", tier="quick", task="answer")
    spans = [
        call("a", quantities={"characters": 10}, attribution=answer),
        call("b", quantities={"characters": 20}, attribution=answer),
        call("c", quantities={"characters": 40}, attribution=Attribution(tenant="globex")),
        call("d", quantities={}, attribution=answer),
    ]
    ledger.commit([request(*spans, link("root", parent=None))], old_if_counted)
    (final,) = finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 2)
    assert {(each.tenant, each.tier, each.task, each.cost_usd, each.unpriced_count) for each in final.costs} == {
        ("acme", "quick", "answer", D("0.000001") * (10 + 20), 1),
        ("globex", None, None, D("0.000001") * 40, 0),
    }
    ledger.commit([request(call("e", quantities={"characters": 80}, attribution=answer))], OLD)
    assert finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 20) == []


def test_a_late_span_amends_a_final_workflow(ledger: LedgerStore, database: Database) -> None:
    """It counts on its own day and leaves a row that says what changed."""
    ledger.commit([request(call("a", quantities={"characters": 10}), link("root", parent=None))], OLD)
    finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 2)
    ledger.commit([request(call("b", start_ms=86_400_000, end_ms=86_400_100, quantities={"characters": 4}))], OLD)
    assert rows(database, "select before_usd, after_usd, span_count from callfare.amendment") == [
        (D("0.00001"), D("0.000014"), 1)
    ]
    assert rows(database, "select count(*) from callfare.daily_cost") == [(2,)]


def test_traces_without_any_call_are_forgotten(ledger: LedgerStore, database: Database) -> None:
    """Other people's traces do not stay; a named workflow does."""
    named = link("r", parent=None, trace=OTHER_TRACE, attribution=Attribution(workflow_name="support"))
    ledger.commit([request(link("root", parent=None)), request(named)], OLD)
    finalise(database, idle=IDLE, now=RECEIVED_AT + IDLE * 2)
    assert forget_empty_traces(database, now=RECEIVED_AT + timedelta(hours=1)) == 0
    assert forget_empty_traces(database, now=RECEIVED_AT + timedelta(days=2)) == 1
    assert rows(database, "select workflow_name from callfare.workflow_cost") == [("support",)]


# ------------------------------------------------------------------------------------------------------ re-rating


@pytest.fixture
def three_calls(ledger: LedgerStore) -> None:
    """Two calls of acme and one of globex, 10 + 20 + 30 units, at the old rate."""
    acme, globex = Attribution(tenant="acme"), Attribution(tenant="globex")
    ledger.commit(
        [
            request(
                call("a", quantities={"characters": 10}, attribution=acme),
                call("b", quantities={"characters": 20}, attribution=acme, model="gpt-4o"),
            ),
            request(call("c", trace=OTHER_TRACE, quantities={"characters": 30}, attribution=globex)),
        ],
        OLD,
    )


@pytest.mark.usefixtures("three_calls")
def test_a_dry_run_writes_nothing_and_tells_all(database: Database, database_url: str) -> None:
    """The totals before and after, by model and by tenant; the tables stay as they are."""
    before = snapshot(database)
    *_, totals = preview_rerate(database_url, ALL_TIME, NEW)
    assert (totals.records, totals.before_usd, totals.after_usd) == (3, OLD_RATE * 60, NEW_RATE * 60)
    assert totals.by_tenant == {
        "acme": (OLD_RATE * 30, NEW_RATE * 30),
        "globex": (OLD_RATE * 30, NEW_RATE * 30),
    }
    assert totals.by_model["openai/gpt-4o"] == (OLD_RATE * 20, NEW_RATE * 20)
    assert snapshot(database) == before


OLD_RATE, NEW_RATE = D("0.000001"), D("0.000003")


@pytest.mark.usefixtures("three_calls")
def test_applying_and_undoing_leave_exact_books(database: Database, database_url: str) -> None:
    """Applying moves what it said it would, undoing brings everything back but the history."""
    before = snapshot(database)
    *_, applied = apply_rerate(database_url, ALL_TIME, NEW, "new")
    assert rows(database, "select sum(cost_usd) from callfare.daily_cost") == [(NEW_RATE * 60,)]
    assert rows(database, "select state, records, before_usd, after_usd from callfare.rerate") == [
        ("applied", 3, OLD_RATE * 60, NEW_RATE * 60)
    ]
    assert problems(database) == []
    assert applied.rerate_id is not None
    *_, undone = undo_rerate(database_url, applied.rerate_id, NEW)
    assert (undone.records, undone.after_usd) == (3, OLD_RATE * 60)
    after = snapshot(database)
    assert after | {"record_revision": []} == before
    assert len(after["record_revision"]) == 6
    with pytest.raises(StoreError, match="undone already"):
        list(undo_rerate(database_url, applied.rerate_id, NEW))


@pytest.mark.usefixtures("three_calls")
def test_re_rating_keeps_to_its_tenant_and_period(database: Database, database_url: str) -> None:
    """Records of other tenants, or outside of the period, keep their quote."""
    *_, totals = apply_rerate(database_url, replace(ALL_TIME, tenant="acme"), NEW, "new")
    assert totals.records == 2
    assert rows(database, "select cost_usd from callfare.cost_record where tenant_id = 'globex'") == [(OLD_RATE * 30,)]
    earlier = ReratedPeriod(since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2021, 1, 1, tzinfo=UTC))
    assert list(preview_rerate(database_url, earlier, NEW)) == []


def test_new_prices_are_tried_on_what_had_none(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """Unpriced records are priced by the new version; priced ones keep what they were quoted."""
    ledger.commit([request(call("a", quantities={"characters": 10}))], OLD)
    unknown = Quote(amount_usd=None, status="unpriced", book_version="old")
    ledger.commit([request(call("b", trace=OTHER_TRACE, quantities={"characters": 20}))], lambda _: unknown)
    totals = retry_unpriced(database_url, NEW, "new")
    assert totals is not None
    assert (totals.records, totals.after_usd) == (1, NEW_RATE * 20)
    assert rows(database, "select cost_usd from callfare.cost_record order by cost_usd") == [
        (OLD_RATE * 10,),
        (NEW_RATE * 20,),
    ]
    assert rows(database, "select sum(unpriced_count), sum(cost_usd) from callfare.daily_cost") == [
        (0, OLD_RATE * 10 + NEW_RATE * 20)
    ]
    assert retry_unpriced(database_url, NEW, "new") is None


@pytest.mark.usefixtures("three_calls")
def test_a_book_that_says_the_same_touches_nothing(database: Database, database_url: str) -> None:
    """A new version without a new price changes no record, not even its version."""
    *_, totals = apply_rerate(database_url, ALL_TIME, by_rate("0.000001", "newer"), "newer")
    assert totals.records == 0
    assert rows(database, "select distinct book_version from callfare.cost_record") == [("old",)]


@pytest.mark.usefixtures("three_calls")
def test_an_interrupted_re_rating_goes_on(
    ledger: LedgerStore, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its first step it resumes with the rest, and ends with the same totals."""
    monkeypatch.setattr("cost_exporter.store.rerate._TRACES_AT_ONCE", 2)
    for number in range(4):
        ledger.commit([request(call("x", trace=bytes([100 + number]) * 16))], OLD)
    with closing(apply_rerate(database_url, ALL_TIME, NEW, "new")) as steps:
        first = next(steps)
    assert first.rerate_id is not None
    assert rows(database, "select state from callfare.rerate") == [("applying",)]
    assert problems(database) == []
    *_, _rest = resume_rerate(database_url, first.rerate_id, NEW)
    assert rows(database, "select state, records from callfare.rerate") == [("applied", 7)]
    assert rows(database, "select distinct book_version from callfare.cost_record") == [("new",)]


@pytest.mark.usefixtures("three_calls")
def test_re_rating_goes_through_all_months(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """The records of a trace lie in the month in which it was first heard of; each month is walked."""
    third_trace = b"n" * 16
    next_month = request().received_at_unix_ns + 31 * 86_400 * 10**9
    late = call("d", trace=third_trace, quantities={"characters": 40})
    ledger.commit([request(late, received_at_unix_ns=next_month)], OLD)
    assert rows(database, "select count(distinct bucket) from callfare.record") == [(2,)]
    *_, totals = apply_rerate(database_url, ALL_TIME, NEW, "new")
    assert (totals.traces, totals.records, totals.after_usd) == (3, 4, NEW_RATE * 100)


def test_unpriced_records_are_priced_by_a_later_book(
    ledger: LedgerStore, database: Database, database_url: str
) -> None:
    """What was unknown becomes known, and leaves the count of unknowns."""
    ledger.commit([request(call("a"))], lambda _usage: Quote(amount_usd=None, status="unpriced"))
    assert rows(database, "select total_cost_usd, unpriced_count from callfare.workflow_cost") == [(D(0), 1)]
    list(apply_rerate(database_url, ALL_TIME, NEW, "new"))
    assert rows(database, "select total_cost_usd, unpriced_count from callfare.workflow_cost") == [(NEW_RATE * 1545, 0)]


# ------------------------------------------------------------------------------------------------------ retention


def test_purging_a_month_keeps_the_rollups_and_refuses_late_spans(ledger: LedgerStore, database: Database) -> None:
    """Records go, sums stay and still balance, a span for a purged trace is a dead letter."""
    ledger.commit([request(call("a"), call("b", trace=OTHER_TRACE, call_id="response:1"))], price_by_sum)
    spent = rows(database, "select sum(cost_usd) from callfare.daily_cost")
    assert purge_before(database, date(2026, 9, 30)) == []
    assert purge_before(database, date(2026, 10, 1)) == [date(2026, 9, 1)]
    assert rows(database, "select count(*) from callfare.record") == [(0,)]
    assert rows(database, "select sum(cost_usd) from callfare.daily_cost") == spent
    assert problems(database) == []
    (receipt,) = ledger.commit([request(call("c"))], price_by_sum)
    assert receipt == Receipt(received=1, dead_letter=1)
    assert rows(database, "select reason from callfare.dead_letter") == [("too_old",)]
    october = RECEIVED_AT_UNIX_NS + 30 * 86_400 * 1_000_000_000
    late, new = call("d", trace=b"n" * 16), call("e", trace=b"n" * 16, start_ms=LATER_MS, end_ms=LATER_MS + 1)
    (receipt,) = ledger.commit([request(late, new, received_at_unix_ns=october)], price_by_sum)
    assert receipt == Receipt(received=2, accepted=1, dead_letter=1)  # of a month whose names of calls are forgotten


# -------------------------------------------------------------------------------------------------------- replay


def test_a_letter_of_our_own_fault_is_replayed_from_its_call(ledger: LedgerStore, database: Database) -> None:
    """After the mend the call is stored as it was, once, and the letter is done."""
    ledger.commit([request(call("a"))], lambda _usage: Quote(amount_usd=D(-1), status="priced"))
    done = list(replay(database, _not_expected, lambda facts: ledger.commit([facts], price_by_sum)[0]))
    assert [each.error for each in done] == [""]
    assert rows(database, "select cost_usd from callfare.cost_record") == [(D("0.000001") * 1545,)]
    assert list(replay(database, _not_expected, lambda facts: ledger.commit([facts], price_by_sum)[0])) == []


def test_a_letter_that_fails_again_stays(ledger: LedgerStore, database: Database) -> None:
    """Its error is noted and it can be tried another time."""
    letter = DeadLetter(reason="undecodable_span", payload=b"\x0a\x00")
    ledger.commit([request(dead_letters=[letter])], price_by_sum)
    seen: list[bytes] = []

    def refuse(waiting: Any) -> Receipt:
        seen.append(waiting.payload)
        return Receipt(received=1, dead_letter=1)

    assert [each.error for each in replay(database, refuse, _not_expected)] == ["refused again"]
    assert seen == [b"\x0a\x00"]
    assert rows(database, "select replayed_at, replay_error from callfare.dead_letter") == [(None, "refused again")]


def _not_expected(_: Any) -> Receipt:
    raise AssertionError


def test_late_span_gets_a_bucket_of_its_trace(ledger: LedgerStore, database: Database) -> None:
    """Records of one trace share the partition of the month in which the trace began to arrive."""
    next_month = RECEIVED_AT_UNIX_NS + 30 * 86_400 * 1_000_000_000
    ledger.commit([request(call("a"))], price_by_sum)
    ledger.commit([request(call("b"), received_at_unix_ns=next_month)], price_by_sum)
    assert rows(database, "select distinct bucket from callfare.record") == [(date(2026, 9, 1),)]
