"""What spans say of time and turns: kept once in any order, beside the records, and shown with the call."""

import itertools
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import psycopg

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.timing import Timing
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Reader
from cost_exporter.store.retention import purge_before
from tests.domain.builders import TRACE, call, link, price_by_sum, span_id
from tests.store.requests import RECEIVED_AT_UNIX_NS, clear, request, rows

Database = psycopg.Connection[Any]
SPEECH: dict[str, Any] = {"operation": "text_to_speech", "provider": "elevenlabs", "model": "flash"}


def timing(name: str, **fields: Any) -> Timing:
    return Timing(**{"trace_id": TRACE, "span_id": span_id(name), "started_at_unix_ns": RECEIVED_AT_UNIX_NS} | fields)


def spoken(*timings: Timing, **changes: Any) -> Facts:
    """A call of a minute and a half: a root, a model's answer and two utterances."""
    spans = (
        link("root", parent=None),
        call("llm"),
        call("one", quantities={"characters": 10}, end_ms=1000, **SPEECH),
        call("two", quantities={"characters": 20}, start_ms=88_000, end_ms=90_000, **SPEECH),
    )
    return replace(request(*spans), timings=timings, **changes)


FIRST = timing("one", time_to_first_audio_seconds=D("0.2"), service_name="bot", **SPEECH)
SECOND = timing("two", time_to_first_audio_seconds=D("0.4"), service_name="bot", **SPEECH)
ASKED = timing("llm", time_to_first_token_seconds=D("0.35"), operation="chat", provider="openai", model="gpt-4o-mini")
WENT = timing("root", turn_count=4, interruption_count=1, dead_air_seconds=D("2.5"))


def voice_call(database: Database) -> dict[str, Any]:
    cursor = database.execute("select * from callfare.voice_call")
    (row,) = cursor.fetchall()
    return {column.name: each for column, each in zip(cursor.description or (), row, strict=True)}


def test_a_call_shows_how_it_went(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """Percentiles over its calls, turns of its root, and its cost by the minute, in all and by leg."""
    ledger.commit([spoken(FIRST, SECOND, ASKED, WENT)], price_by_sum)
    found = voice_call(database)
    assert (found["turn_count"], found["interruption_count"], found["dead_air_seconds"]) == (4, 1, D("2.5"))
    assert (found["time_to_first_token_p50_seconds"], found["time_to_first_token_p95_seconds"]) == (D("0.350"),) * 2
    assert (found["time_to_first_audio_p50_seconds"], found["time_to_first_audio_p95_seconds"]) == (D("0.3"), D("0.39"))
    minutes = found["duration_seconds"] / 60
    assert found["duration_seconds"] == D("90.01")
    assert found["cost_per_minute_usd"] == round(found["total_cost_usd"] / minutes, 12)
    assert set(found["cost_per_minute_by_leg"]) == {"llm", "tts"}
    by_leg = [D(each) for each in found["cost_per_minute_by_leg"].values()]
    assert abs(sum(by_leg) - found["cost_per_minute_usd"]) <= D("1e-11")
    with Reader.connect(database_url) as reader:
        read = reader.voice_call(found["trace_id"], "default")
        assert read is not None
        assert read["turn_count"] == 4
        assert reader.voice_call(found["trace_id"], "other") is None


def test_what_nobody_says_is_unknown(ledger: LedgerStore, database: Database) -> None:
    """Never 0."""
    ledger.commit([spoken()], price_by_sum)
    found = voice_call(database)
    assert [found[name] for name in found if name.endswith(("_count", "p50_seconds", "p95_seconds"))][1:] == [None] * 6
    assert found["dead_air_seconds"] is None


def test_a_workflow_that_says_nothing_is_no_call(ledger: LedgerStore, database: Database) -> None:
    """A model's answers alone are a chat."""
    ledger.commit([replace(request(link("root", parent=None), call("llm")), timings=[ASKED])], price_by_sum)
    assert rows(database, "select * from callfare.voice_call") == []


def test_order_and_repetition_do_not_matter(ledger: LedgerStore, database: Database) -> None:
    """The greater number of one span stays, whichever came first."""
    more = replace(SECOND, time_to_first_audio_seconds=D("0.8"))
    seen: set[str] = set()
    for order in itertools.permutations([spoken(FIRST), spoken(SECOND), spoken(more), spoken(FIRST)]):
        clear(database)
        for each in order:
            ledger.commit([each], price_by_sum)
        seen.add(str(rows(database, "select t.* from callfare.timing as t order by span_id")))
        assert rows(database, "select count(*) from callfare.timing") == [(2,)]
    assert len(seen) == 1


def test_latency_is_by_day_agent_and_model(ledger: LedgerStore, database: Database) -> None:
    """For the tenant that the span states, or the credential's where that decides."""
    mine = replace(FIRST, tenant="acme")
    ledger.commit([spoken(mine, SECOND, ASKED)], price_by_sum)
    query = (
        "select tenant_id, service_name, model, request_count, time_to_first_audio_p50_seconds from callfare.latency"
    )
    assert sorted(rows(database, query), key=str) == [
        ("acme", "bot", "flash", 1, D("0.200")),
        ("default", "", "gpt-4o-mini", 1, None),
        ("default", "bot", "flash", 1, D("0.400")),
    ]
    clear(database)
    ledger.commit([spoken(mine, tenant_is_trusted=False)], price_by_sum)
    assert rows(database, "select tenant_id from callfare.timing") == [("default",)]


def test_times_go_with_their_month(ledger: LedgerStore, database: Database) -> None:
    """As the records do."""
    ledger.commit([spoken(FIRST)], price_by_sum)
    ((month,),) = rows(database, "select bucket from callfare.timing")
    purge_before(database, month.replace(year=month.year + 1))
    assert rows(database, "select * from callfare.timing") == []
