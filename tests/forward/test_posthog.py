"""Events for PostHog: each final call once, at our cost, and again under the same id where it changes."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from cost_exporter.domain.attribution import Attribution
from cost_exporter.forward.posthog_event import event_of
from cost_exporter.forward.posthog_transport import PosthogTransport
from cost_exporter.forward.sender import Busy, Sender, single_requests
from cost_exporter.store.finalise import finalise
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.posthog import PosthogOutbox
from cost_exporter.store.rerate import ReratedPeriod, apply_rerate
from tests.domain.builders import OTHER_TRACE, TRACE, call, link, price_by_sum, span_id
from tests.forward.posthog import KEY, Event, Posthog, running
from tests.store.requests import RECEIVED_AT_UNIX_NS, request
from tests.store.test_later_changes import NEW

Database = psycopg.Connection[Any]
PAGE = "https://callfare.example"
ALL_TIME = ReratedPeriod(since=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(9999, 1, 1, tzinfo=UTC))


@pytest.fixture
def ledger(database_url: str) -> Iterator[LedgerStore]:
    with closing(LedgerStore(database_url)) as store:
        yield store


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database_url, min_size=1, max_size=2, open=True) as pool:
        yield pool


@pytest.fixture
def posthog() -> Iterator[Posthog]:
    with running() as posthog:
        yield posthog


@pytest.fixture
def sender(pool: ConnectionPool[Any], posthog: Posthog) -> Sender:
    outbox = PosthogOutbox(pool, partial(event_of, page_url=PAGE))
    return Sender(outbox, PosthogTransport(posthog.url, KEY), halve=single_requests, backend="posthog", what="events")


def make_final(database: Database, *, is_for_posthog: bool = True) -> None:
    now = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS // 10**9, UTC) + timedelta(days=2)
    assert finalise(database, idle=timedelta(hours=1), now=now, is_for_posthog=is_for_posthog)


def waiting(database: Database) -> int:
    row = database.execute("select count(*) from callfare.posthog_call").fetchone()
    assert row is not None
    return row[0]


def ledger_usd(database: Database) -> D:
    row = database.execute("select coalesce(sum(cost_usd), 0) from callfare.cost_record").fetchone()
    assert row is not None
    return row[0]


def by_span(events: list[Event]) -> dict[str, Event]:
    return {each["properties"]["$ai_span_id"]: each for each in events}


def test_a_call_is_an_event_with_our_cost(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """Model calls, embeddings and speech, each under its name; the sum is the ledger's, and the link leads back."""
    ann = Attribution(tenant="acme", user="ann", category="bot", workflow_id="w-1")
    tokens: dict[str, int | D] = {"input_tokens": 900, "cache_read_tokens": 400, "output_tokens": 50}
    ledger.commit(
        [
            request(
                call(
                    "a",
                    attribution=ann,
                    quantities=tokens,
                ),
                call("b", operation="embeddings", model="text-embedding-3-small", quantities={"input_tokens": 77}),
                call("c", operation="text_to_speech", provider="elevenlabs", quantities={"characters": 123}),
                link("root", parent=None, attribution=Attribution(tenant="acme", workflow_id="w-1")),
            )
        ],
        price_by_sum,
    )
    make_final(database)
    sender.drain_once()
    assert waiting(database) == 0
    found = by_span(posthog.events)
    a, b, c = (found[span_id(name).hex()] for name in "abc")
    assert [each["event"] for each in (a, b, c)] == ["$ai_generation", "$ai_embedding", "$ai_span"]
    assert [each["distinct_id"] for each in (a, b)] == ["ann", TRACE.hex()]
    assert "$process_person_profile" not in a["properties"]
    assert b["properties"]["$process_person_profile"] is False
    assert (
        a["properties"]
        | {
            "$ai_trace_id": TRACE.hex(),
            "$ai_session_id": "w-1",
            "$ai_model": "gpt-4o-mini",
            "$ai_provider": "openai",
            "$ai_input_tokens": 900,
            "$ai_cache_read_input_tokens": 400,
            "$ai_output_tokens": 50,
            "$ai_latency": 1,
            "callfare_url": f"{PAGE}/workflows/{TRACE.hex()}",
            "callfare_tenant": "acme",
            "callfare_category": "bot",
        }
        == a["properties"]
    )
    assert c["properties"]["callfare_characters"] == 123
    for each in (a, b, c):
        cost = each["properties"]["$ai_total_cost_usd"]
        assert D(each["properties"]["callfare_cost_usd"]) == D(str(cost)) > 0
    parts = [a["properties"][f"$ai_{side}_cost_usd"] for side in ("input", "output", "request")]
    assert sum(D(str(part)) for part in parts) == D(a["properties"]["callfare_cost_usd"])
    assert posthog.cost_usd == ledger_usd(database)
    stats = database.execute("select usage_stats ->> 'posthog_trace_id' from callfare.usage_stats").fetchone()
    assert stats == (TRACE.hex(),)


def test_nothing_waits_unless_it_is_configured(ledger: LedgerStore, database: Database) -> None:
    """Off by default: no workflow leaves anything to be sent."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database, is_for_posthog=False)
    assert waiting(database) == 0


def test_an_unknown_cost_is_not_guessed(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """PostHog would price a model by a list of its own, so a call without a cost names it elsewhere."""
    ledger.commit([request(call("a"), call("b", quantities={}))], price_by_sum)
    make_final(database)
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)
    unknown = by_span(posthog.events)[span_id("b").hex()]["properties"]
    assert (unknown["callfare_model"], unknown["callfare_status"]) == ("gpt-4o-mini", "no_usage")
    assert not {"$ai_model", "$ai_total_cost_usd", "callfare_cost_usd"} & set(unknown)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 401, 404])
def test_what_fails_for_now_waits(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog, status: int
) -> None:
    """It is sent again with the same ids; Retry-After is kept to."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    posthog.statuses = [status]
    with pytest.raises(ConnectionError) as failed:
        sender.drain_once()
    if status == 429:
        assert isinstance(failed.value, Busy)
        assert failed.value.wait_seconds == 7
    assert waiting(database) == 1
    sender.drain_once()
    assert (waiting(database), len(posthog.events)) == (0, 1)


def test_a_used_up_quota_takes_nothing(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """PostHog answers 200 and drops the events: they wait here."""
    ledger.commit([request(call("a"))], price_by_sum)
    make_final(database)
    posthog.is_over_quota = True
    with pytest.raises(Busy):
        sender.drain_once()
    posthog.is_over_quota = False
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database) > 0


def test_one_refused_event_costs_no_other(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """A batch is refused as a whole; halving finds the one, which is dropped and counted."""
    names = "abcdefg"
    ledger.commit([request(*(call(name, quantities={"input_tokens": 10}) for name in names))], price_by_sum)
    make_final(database)
    posthog.poison = span_id("d").hex()
    sender.drain_once()
    assert sorted(by_span(posthog.events)) == sorted(span_id(name).hex() for name in names if name != "d")
    assert waiting(database) == 0
    assert database.execute("select dropped_count from callfare.posthog_place").fetchone() == (1,)


def test_a_crash_after_the_answer_sends_the_same_event(
    ledger: LedgerStore, database: Database, pool: ConnectionPool[Any], posthog: Posthog
) -> None:
    """The claim is rolled back, and PostHog replaces what it has by what comes again."""
    ledger.commit([request(call("a"))], price_by_sum)
    outbox = PosthogOutbox(pool, partial(event_of, page_url=PAGE))
    make_final(database)

    def crash() -> None:
        with outbox.claim() as claim:
            PosthogTransport(posthog.url, KEY).send(b"".join(claim.requests))
            claim.done()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert waiting(database) == 1
    Sender(outbox, PosthogTransport(posthog.url, KEY), halve=single_requests).drain_once()
    assert (len(posthog.batches), len(posthog.events)) == (2, 1)
    assert posthog.cost_usd == ledger_usd(database)


def test_what_changes_later_replaces_its_event(
    ledger: LedgerStore, database: Database, database_url: str, sender: Sender, posthog: Posthog
) -> None:
    """A late span, a better content, another person, a new price: the sum is the ledger's each time."""
    two = call("a", quantities={"input_tokens": 10}), call("b", quantities={"input_tokens": 1})
    ledger.commit([request(*two)], price_by_sum)
    make_final(database)
    sender.drain_once()
    first = by_span(posthog.events)

    def changed(*spans: Any) -> None:
        ledger.commit([request(*spans)], price_by_sum)
        sender.drain_once()
        assert posthog.cost_usd == ledger_usd(database)
        now = by_span(posthog.events)
        assert len(posthog.events) == len(now)
        for span, event in first.items():
            assert [now[span][key] for key in ("uuid", "event", "distinct_id", "timestamp")] == [
                event[key] for key in ("uuid", "event", "distinct_id", "timestamp")
            ]

    changed(call("c", operation="text_to_speech", provider="elevenlabs", quantities={"characters": 30}))
    changed(call("a", end_ms=2000, quantities={"input_tokens": 30}))
    changed(link("root", parent=None, attribution=Attribution(tenant="acme", user="ann")))
    *_, rerated = apply_rerate(database_url, ALL_TIME, NEW, "new")
    assert rerated.records == 3
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)
    assert waiting(database) == 0


def test_a_call_that_turns_out_a_duplicate_costs_nothing_there(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """Its event stays, and is taken back: at a cost of 0."""
    shared: dict[str, Any] = {"call_id": "response:resp-1"}
    ledger.commit([request(call("a", quantities={"input_tokens": 1000}, **shared))], price_by_sum)
    make_final(database)
    sender.drain_once()
    richer = call("b", scope="scope.b", quantities={"input_tokens": 1000, "output_tokens": 9}, **shared)
    ledger.commit([request(richer)], price_by_sum)
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)
    statuses = {each["properties"]["callfare_status"] for each in posthog.events}
    assert statuses == {"priced", "duplicate"}


def test_a_change_that_commits_late_is_not_passed_over(
    ledger: LedgerStore, database: Database, database_url: str, sender: Sender, posthog: Posthog
) -> None:
    """The journal is read by transaction ids: an open transaction holds back what began after it, and loses nothing."""
    ledger.commit([request(call("a", quantities={"input_tokens": 1}))], price_by_sum)
    make_final(database)
    with psycopg.connect(database_url) as slow:
        slow.execute("select pg_current_xact_id()")
        ledger.commit([request(call("b", quantities={"input_tokens": 2}))], price_by_sum)
        sender.drain_once()
        assert len(posthog.events) == 1
        slow.execute(
            "insert into callfare.journal (kind, reason, tenant_id, namespace, trace_id, span_id, finalised_at,"
            " old_tenant_id, new_tenant_id, old_status, new_status, old_labels) select 'record', 'settled', 'default',"
            " namespace, trace_id, span_id, now(), 'default', 'default', status, status, %s from callfare.record"
            " where span_id = %s",
            (Jsonb({"operation": "chat"}), int.from_bytes(span_id("a"))),
        )
        sender.drain_once()
        assert len(posthog.batches) == 1
    sender.drain_once()
    assert sorted(each["properties"]["$ai_span_id"] for each in posthog.batches[-1]) == sorted(
        span_id(name).hex() for name in "ab"
    )
    assert posthog.cost_usd == ledger_usd(database)


def test_one_service_sends_at_a_time(
    ledger: LedgerStore, database: Database, pool: ConnectionPool[Any], posthog: Posthog
) -> None:
    """A second one finds nothing meanwhile, so that an older state never arrives after a newer one."""
    ledger.commit([request(call("a"))], price_by_sum)
    outbox = PosthogOutbox(pool, partial(event_of, page_url=PAGE))
    make_final(database)
    with outbox.claim() as held:
        assert held.span_count == 1
        with outbox.claim() as other:
            assert (other.span_count, other.is_full) == (0, False)


def test_what_waits_too_long_is_dropped_and_counted(
    ledger: LedgerStore, database: Database, pool: ConnectionPool[Any]
) -> None:
    """The cost stays in the ledger; the count shows that PostHog lacks it."""
    ledger.commit([request(call("a"))], price_by_sum)
    outbox = PosthogOutbox(pool, partial(event_of, page_url=PAGE))
    make_final(database)
    assert outbox.give_up_older_than(timedelta(days=2)) == 0
    database.execute("update callfare.posthog_call set waiting_since = now() - interval '3 days'")
    assert outbox.give_up_older_than(timedelta(days=2)) == 1
    assert database.execute("select dropped_count from callfare.posthog_place").fetchone() == (1,)


def test_after_a_restore_on_another_server_events_go_on(
    ledger: LedgerStore, database: Database, sender: Sender, posthog: Posthog
) -> None:
    """Transaction ids of the other server mean nothing here. What becomes final is sent, and what changes from now."""
    ledger.commit([request(call("a", quantities={"input_tokens": 1}))], price_by_sum)
    make_final(database)
    database.execute("update callfare.posthog_place set transaction_id = '1099511627776'")
    sender.drain_once()
    assert len(posthog.events) == 1
    ledger.commit([request(call("b", quantities={"input_tokens": 2}))], price_by_sum)
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)
    database.execute("update callfare.posthog_place set transaction_id = '1099511627776'")
    with ConnectionPool[Any](database.info.dsn, min_size=1, max_size=1, open=True) as pool:
        PosthogOutbox(pool, partial(event_of, page_url=PAGE))
    ledger.commit([request(call("c", quantities={"input_tokens": 3}))], price_by_sum)
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)


def test_a_journal_of_another_server_holds_up_no_new_event(
    ledger: LedgerStore,
    database: Database,
    sender: Sender,
    posthog: Posthog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only its corrections wait, until they are numbered again; the log says so once."""
    first = call("a", trace=OTHER_TRACE, quantities={"input_tokens": 1})
    ledger.commit([request(first)], price_by_sum)
    make_final(database)
    ledger.commit([request(call("late", trace=OTHER_TRACE, quantities={"input_tokens": 2}))], price_by_sum)
    database.execute("update callfare.journal set transaction_id = '1099511627776'")
    ledger.commit([request(call("b", quantities={"input_tokens": 3}))], price_by_sum)
    make_final(database)
    sender.drain_once()
    sender.drain_once()
    assert sorted(by_span(posthog.events)) == sorted(span_id(name).hex() for name in "ab")
    assert [each.message for each in caplog.records if "corrections are not sent" in each.message][1:] == []
    database.execute("update callfare.journal set transaction_id = default")
    sender.drain_once()
    assert posthog.cost_usd == ledger_usd(database)
