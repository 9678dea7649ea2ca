"""What becomes of spans in the ledger: counted, deduplicated, inherited, joined, isolated."""

import json
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import DeadLetter, Facts, OutgoingSpan, Receipt
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreUnavailable
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import OTHER_TRACE, TRACE, call, link, price_by_sum
from tests.read import otlp_spans
from tests.store.requests import RECEIVED_AT_UNIX_NS, hashed, request, rows

Database = psycopg.Connection[Any]
COST_1545_TOKENS = D("0.000001") * (1200 + 345)


def test_receipt_counts_each_span_once(ledger: LedgerStore) -> None:
    """New spans are accepted, the same ones again are duplicates, links count as ignored."""
    one = request(call("a"), call("b"), link("root", parent=None))
    assert ledger.commit([one, one], price_by_sum) == [
        Receipt(received=3, accepted=2, ignored=1),
        Receipt(received=3, duplicate=2, ignored=1),
    ]


def test_sending_again_writes_nothing(ledger: LedgerStore, database: Database) -> None:
    """A batch delivered twice leaves even the version of its trace as it was."""
    one = request(call("a"), link("root", parent=None))
    ledger.commit([one], price_by_sum)
    before = rows(database, "select xmin::text, version from callfare.trace")
    ledger.commit([one], price_by_sum)
    assert rows(database, "select xmin::text, version from callfare.trace") == before


def test_conflict_keeps_the_better_content_and_the_other_as_revision(ledger: LedgerStore, database: Database) -> None:
    """The content that ends later wins, the rollup moves by the difference, the loser is kept once."""
    early, late = call("a", quantities={"characters": 10}), call("a", end_ms=2000, quantities={"characters": 25})
    ledger.commit([request(late)], price_by_sum)
    receipts = ledger.commit([request(early), request(early)], price_by_sum)
    assert [receipt.conflict for receipt in receipts] == [1, 1]
    assert rows(database, "select cost_usd from callfare.cost_record") == [(D("0.000001") * 25,)]
    assert rows(database, "select reason, content_hash from callfare.record_revision") == [
        ("conflict", hashed(early).content_hash)
    ]


def test_late_root_gives_its_attribution_to_the_whole_trace(ledger: LedgerStore, database: Database) -> None:
    """Tenant and category of a root that arrives last move its calls, and their rollups, to that account."""
    ledger.commit([request(call("a"), call("b", parent="a", quantities={"characters": 5}))], price_by_sum)
    assert rows(database, "select tenant_id, state from callfare.workflow_cost") == [("default", "running")]
    attribution = Attribution(tenant="acme", category="bot", workflow_name="support")
    ledger.commit([request(link("root", parent=None, attribution=attribution))], price_by_sum)
    assert rows(database, "select tenant_id, state, workflow_name, total_cost_usd from callfare.workflow_cost") == [
        ("acme", "completed", "support", COST_1545_TOKENS + D("0.000005"))
    ]
    assert rows(database, "select distinct tenant_id, category from callfare.daily_cost") == [("acme", "bot")]


def test_tenant_of_a_credential_wins_over_the_attribute(ledger: LedgerStore, database: Database) -> None:
    """With credentials the namespace is the tenant, whatever a span claims."""
    claim = call("a", attribution=Attribution(tenant="globex"))
    ledger.commit([request(claim, namespace="acme", tenant_is_trusted=False)], price_by_sum)
    assert rows(database, "select tenant_id from callfare.cost_record") == [("acme",)]


def test_one_trace_id_in_two_namespaces_is_two_workflows(ledger: LedgerStore, database: Database) -> None:
    """Credentials do not see, nor touch, each other's records of the same ids."""
    batches = [request(call("a"), namespace=each, tenant_is_trusted=False) for each in ("acme", "globex")]
    ledger.commit(batches, price_by_sum)
    assert rows(database, "select tenant_id, request_count from callfare.workflow_cost order by 1") == [
        ("acme", 1),
        ("globex", 1),
    ]


def test_one_call_told_of_in_two_traces_is_billed_once(ledger: LedgerStore, database: Database) -> None:
    """Spans of equal call id are settled together across traces, also when the second trace comes later."""
    poor = call("a", call_id="response:1", quantities={}, scope="scope.b")
    rich = call("b", trace=OTHER_TRACE, call_id="response:1")
    ledger.commit([request(poor)], price_by_sum)
    ledger.commit([request(rich)], price_by_sum)
    assert rows(database, "select status, duplicate_of from callfare.cost_record order by status") == [
        ("duplicate", b"b".rjust(8, b"\0").hex()),
        ("priced", None),
    ]
    later = call("c", parent="b", trace=OTHER_TRACE, quantities={"characters": 1})
    ledger.commit([request(later)], price_by_sum)
    assert rows(database, "select count(*) from callfare.cost_record where status = 'duplicate'") == [(1,)]


def test_traces_are_not_joined_by_an_id_drawn_from_few(ledger: LedgerStore, database: Database) -> None:
    """Two calls to Ollama that got the same id by chance are both billed."""
    for trace in (TRACE, OTHER_TRACE):
        ledger.commit([request(call("a", trace=trace, call_id="response:chatcmpl-42"))], price_by_sum)
    assert rows(database, "select status from callfare.cost_record") == [("priced",), ("priced",)]
    assert rows(database, "select count(*) from callfare.provider_call") == [(0,)]


def test_the_deltas_of_a_long_socket_add_up_in_traces_of_their_own(ledger: LedgerStore, database: Database) -> None:
    """Opened outside of any span, each minute is a trace: the vendor's total at the close must not count them twice."""
    count = 40
    for number in range(count):
        is_last = number == count - 1
        delta = call(
            "delta",
            trace=bytes([1 + number]) * 16,
            parent=None,
            operation="speech_to_text",
            quantities={"audio_seconds": D(60)},
            session_id="s",
            session_sequence=number,
            session_vendor_total_seconds=D(60) * count + D("1.5") if is_last else None,
        )
        ledger.commit([request(delta)], price_by_sum)
    billed = rows(database, "select sum((usage->>'audio_seconds')::numeric) from callfare.cost_record")
    assert billed == [(D(60) * count + D("1.5"),)]


def test_a_neighbour_keeps_its_price_when_a_late_span_comes(ledger: LedgerStore, database: Database) -> None:
    """A newer book prices the new span only; what was quoted stays until it is re-rated."""
    ledger.commit([request(call("a"))], price_by_sum)

    def dearer(usage: UsageRecord) -> Quote:
        quote = price_by_sum(usage)
        line = quote.lines[0]._replace(amount_usd=D(7))
        return replace(quote, amount_usd=D(7), lines=(line,), book_version="newer")

    ledger.commit([request(call("b", quantities={"characters": 1}))], dearer)
    assert rows(database, "select cost_usd from callfare.cost_record order by 1") == [(COST_1545_TOKENS,), (D(7),)]


def test_no_text_in_a_usage_object_costs_its_call(ledger: LedgerStore, database: Database) -> None:
    """JSON may hold a NUL or half a surrogate pair in any text and any name of a count; so may an attribute's name."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    spans: list[dict[str, Any]] = [
        {"foo.usage": json.dumps({**usage, "service_tier": "pri\0\ud800"})},
        {"foo.usage": json.dumps({**usage, "speed": "fa\0st" * 999})},
        {"foo.usage": json.dumps({**usage, "cached\0foo\ud800_tokens": 3})},
        {"foo\0.usage": json.dumps({**usage, "cached_foo_tokens": 3})},
        {"foo.usage": json.dumps(usage), "gen_ai.usage.cached\0foo_tokens": 3},
    ]
    documents = [
        otlp_spans.document({**otlp_spans.CHAT, **attributes}, spanId=f"{number:016x}")
        for number, attributes in enumerate(spans, 1)
    ]
    assert ledger.commit([otlp_spans.facts(*documents)], price_by_sum) == [Receipt(received=5, accepted=5)]
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]
    tiers = {tier for (tier,) in rows(database, "select service_tier from callfare.cost_record")}
    assert tiers == {"pri\ufffd?", None}


def test_a_value_that_postgresql_refuses_becomes_a_dead_letter_alone(ledger: LedgerStore, database: Database) -> None:
    """One span that cannot be stored costs neither its trace nor its request nor its neighbours."""
    poison = replace(hashed(call("p", trace=b"\x03" * 16)), service_name="nul \x00")
    good = [hashed(call(str(number), trace=bytes([1 + number]) * 16)) for number in range(5)]
    batch = Facts(namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, calls=[*good[:3], poison, *good[3:]])
    receipts = ledger.commit([request(call("x")), batch], price_by_sum)
    assert receipts == [Receipt(received=1, accepted=1), Receipt(received=6, accepted=5, dead_letter=1)]
    assert rows(database, "select reason, span_id, payload_kind from callfare.dead_letter") == [
        ("our_fault", poison.span_id.hex(), "call")
    ]
    assert rows(database, "select count(*) from callfare.record") == [(6,)]


def test_a_cost_out_of_range_never_enters_a_total(ledger: LedgerStore, database: Database) -> None:
    """NaN and absurd money are stopped by the constraint and held as dead letters."""
    for name, amount in (("n", D("NaN")), ("h", D(10) ** 13), ("m", D(-1))):
        quote = Quote(amount_usd=amount, status="priced")
        (receipt,) = ledger.commit([request(call(name))], lambda _usage, quote=quote: quote)
        assert receipt == Receipt(received=1, dead_letter=1)
    assert rows(database, "select count(*) from callfare.record") == [(0,)]
    assert rows(database, "select distinct detail from callfare.dead_letter where detail like '%%23514%%'") != []


def test_a_trace_that_shares_calls_with_another_is_bounded(
    ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled as a whole is bounded: calls beyond are dead letters, those it has can still be sent again."""
    monkeypatch.setattr("cost_exporter.store.ledger.trace_state.JOINED_CALLS_MAX", 2)
    named = call("a", call_id="response:1")
    ledger.commit([request(named, call("x", trace=OTHER_TRACE, call_id="response:1"))], price_by_sum)
    spans = [named, call("b"), call("c")]
    assert ledger.commit([request(*spans)], price_by_sum) == [
        Receipt(received=3, accepted=1, duplicate=1, dead_letter=1)
    ]
    assert ledger.commit([request(*spans)], price_by_sum) == [Receipt(received=3, duplicate=2, dead_letter=1)]
    assert rows(database, "select reason, attempts from callfare.dead_letter") == [("trace_too_large", 2)]


def test_the_same_dead_letter_again_counts_as_an_attempt(ledger: LedgerStore, database: Database) -> None:
    """A sender that repeats a bad span does not fill the table."""
    letter = DeadLetter(reason="bad_id", detail="no trace id", payload=b"\x0a\x00")
    for _ in range(3):
        (receipt,) = ledger.commit([request(dead_letters=[letter])], price_by_sum)
        assert receipt == Receipt(received=1, dead_letter=1)
    assert rows(database, "select reason, attempts from callfare.dead_letter") == [("bad_id", 3)]


def test_forwarded_spans_carry_their_cost_and_leave_once(database_url: str, database: Database) -> None:
    """A new record puts its enriched span into the outbox in the same transaction; a duplicate does not."""
    store = LedgerStore(database_url, enrich=lambda record: str(record.cost_usd).encode())
    one = hashed(call("a"))
    outgoing = {(TRACE, one.span_id): OutgoingSpan(resource=b"r", scope=b"s", span=b"span ")}
    batch = Facts(namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, calls=[one], outgoing=outgoing)
    store.commit([batch], price_by_sum)
    store.commit([batch], price_by_sum)
    store.close()
    expected = trace_request(b"r", b"s", [framed_span(f"span {COST_1545_TOKENS}".encode())])
    assert rows(database, "select span_count, request from callfare.outbox") == [(1, expected)]


def test_a_database_that_is_away_is_unavailable_and_then_used_again(database_url: str, database: Database) -> None:
    """A killed connection fails the batch as passing; the next one connects again and stores it."""
    store = LedgerStore(database_url)
    store.commit([request(call("a"))], price_by_sum)
    database.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'callfare:%'")
    with pytest.raises(StoreUnavailable):
        store.commit([request(call("b"))], price_by_sum)
    assert store.commit([request(call("b"))], price_by_sum) == [Receipt(received=1, accepted=1)]
    store.close()


def test_revenue_fee_and_profit_are_exact(ledger: LedgerStore, database: Database) -> None:
    """Profit is revenue less fee less cost, to the last digit."""
    database.execute("insert into callfare.revenue_rule values (0, 'support', 'completed', 4.99)")
    database.execute("insert into callfare.fee_rule values (0, 2.9, 0.30)")
    root = link("root", parent=None, attribution=Attribution(workflow_name="support"))
    ledger.commit([request(root, call("a"))], price_by_sum)
    fee = D("4.99") * D("0.029") + D("0.30")
    assert rows(database, "select revenue_usd, fee_usd, profit_usd from callfare.workflow_cost") == [
        (D("4.99"), fee, D("4.99") - fee - COST_1545_TOKENS)
    ]
