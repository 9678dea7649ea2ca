"""A replayed span is stored like a received one: same price, same status, same way to the forward endpoint."""

import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import cost_exporter
from cost_exporter.domain.facts import DeadLetter, Facts, Receipt
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.pipeline import Pipeline
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.store.ledger.isolate import letters_of
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.cli.running import run_command
from tests.support.stored import as_url, chat, running_service, send

NOWHERE = "http://127.0.0.1:9"
RECEIVED, REPLAYED = b"R" * 16, b"P" * 16
CALLS: dict[str, dict[str, str | int]] = {
    "whole": chat("gpt-4o-mini-2024-07-18", 1_234, 87),
    "cached": {**chat("gpt-4o-mini-2024-07-18", 1_234, 87), "gen_ai.usage.cache_read.input_tokens": 1_024},
    "only output": {name: value for name, value in chat("gpt-4o", 1, 100).items() if "input" not in name},
    "only input": {name: value for name, value in chat("gpt-4o", 100, 1).items() if "output" not in name},
    "nothing": {name: value for name, value in chat("gpt-4o", 1, 1).items() if "usage" not in name},
    "no such model": chat("no-such-model", 10, 10),
    "speech": {
        "gen_ai.operation.name": "text_to_speech",
        "gen_ai.provider.name": "elevenlabs",
        "gen_ai.request.model": "eleven_flash_v2_5",
        "callfare.usage.characters": 1_000,
    },
}
# A line names its price by number once the price has one, so the same lines are compared as they are spelled out.
RECORDED = """
select operation, provider, model, status, cost_usd, usage, callfare.spelled_lines(lines), issues, tenant_id, category,
  leg, book_version, fact
from callfare.record where trace_id = %s order by span_id
"""
FORWARDED = "select span_count, request from callfare.outbox order by id"


def request(trace_id: bytes, started_at_unix_ns: int) -> bytes:
    whole = ExportTraceServiceRequest()
    resource = whole.resource_spans.add()
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai.v1"
    for number, attributes in enumerate(CALLS.values(), 1):
        span = scope.spans.add(trace_id=trace_id, span_id=number.to_bytes(8, "big"), parent_span_id=b"p" * 8, kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = started_at_unix_ns, started_at_unix_ns + 10**9
        for key, content in {**attributes, "callfare.tenant.id": "acme", "callfare.category": "bot"}.items():
            value = span.attributes.add(key=key).value
            if isinstance(content, int):
                value.int_value = content
            else:
                value.string_value = content
    return whole.SerializeToString()


def decoded(body: bytes, at_unix_ns: int) -> DecodedRequest:
    return decode(body, Encoding.PROTOBUF, SenderIdentity(), received_at_unix_ns=at_unix_ns)


def fails(_: UsageRecord) -> Quote:
    raise ValueError("a price that cannot be")


class RefusingStore:
    """A store whose database refuses the content of each call."""

    def __init__(self, url: str) -> None:
        self._url = url

    def submit(self, facts: Facts) -> Receipt:
        letters = letters_of(facts, psycopg.errors.DataException("refused"))
        kept = Facts(namespace="default", received_at_unix_ns=facts.received_at_unix_ns, dead_letters=letters)
        store = LedgerStore(self._url)
        (receipt,) = store.commit([kept], fails)
        store.close()
        return receipt


def keep_as_call_letters(url: str, body: bytes, at_unix_ns: int) -> None:
    """Keep each span as the store keeps one whose content it cannot hold."""
    receipt = Pipeline(RefusingStore(url), lambda *_: None, is_forwarding=True)(decoded(body, at_unix_ns))
    assert receipt.dead_letter == len(CALLS)


def keep_as_otlp_letters(url: str, body: bytes, at_unix_ns: int) -> None:
    """Keep each span as the readers keep one that they tripped over."""
    from cost_exporter.read.dead_letter import dead_letter_of

    letters: list[DeadLetter] = []
    for resource in decoded(body, at_unix_ns).resource_spans:
        for scope in resource.scope_spans:
            letters += [
                dead_letter_of(span, scope.scope, resource.resource, reason="our_fault", detail="KeyError")
                for span in scope.spans
            ]
    store = LedgerStore(url)
    store.commit([Facts(namespace="default", received_at_unix_ns=at_unix_ns, dead_letters=letters)], fails)
    store.close()


@pytest.mark.parametrize("keep", [keep_as_call_letters, keep_as_otlp_letters])
def test_a_replayed_span_is_stored_like_a_received_one(
    keep: Any, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last column, and it goes on to the forward endpoint with its cost."""
    url = as_url(database_url)
    started_at_unix_ns = time.time_ns() - 60 * 10**9
    keep(url, request(REPLAYED, started_at_unix_ns), started_at_unix_ns)
    monkeypatch.setenv("CALLFARE_DATABASE_URL", url)
    monkeypatch.setenv("CALLFARE_FORWARD_ENDPOINT", NOWHERE)
    ran = run_command(capsys, "deadletter", "replay")
    assert ran.exit_code == 0, ran.out + ran.err
    with psycopg.connect(url, autocommit=True) as database:
        replayed = database.execute(RECORDED, (REPLAYED.hex(),)).fetchall()
        forwarded = database.execute(FORWARDED).fetchall()
    with running_service(url) as addresses:
        send(addresses["grpc"], request(RECEIVED, started_at_unix_ns))
    with psycopg.connect(url, autocommit=True) as database:
        received = database.execute(RECORDED, (RECEIVED.hex(),)).fetchall()
    assert len(received) == len(CALLS)
    assert [row[:-1] for row in replayed] == [row[:-1] for row in received]
    statuses = dict(zip(CALLS, (row[3] for row in received), strict=True))
    assert (statuses["only output"], statuses["only input"], statuses["whole"]) == ("partial", "partial", "priced")
    sent = [
        span
        for _, content in forwarded
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sum(count for count, _ in forwarded) == len(sent) == len(CALLS)
    costs = {
        each.key: each.value
        for span in sent
        if span.span_id == (1).to_bytes(8, "big")
        for each in span.attributes
        if "cost" in each.key
    }
    assert costs


@pytest.mark.parametrize(
    ("made", "places"),
    [
        (r"(?:Pipeline|Committer)\(", {"assembly.py"}),
        (r"Gate\(", {"receive/intake.py"}),
        (r"price_of_call\(", {"assembly.py", "domain/pricing/book.py"}),
    ],
)
def test_there_is_one_way_to_put_ingest_together(made: str, places: set[str]) -> None:
    """A second one would price, forward or estimate differently sooner or later."""
    root = Path(cost_exporter.__file__).parent
    makes = re.compile(rf"\b{made}")
    assert {path.relative_to(root).as_posix() for path in root.rglob("*.py") if _makes(path, makes)} == places


def _makes(path: Path, makes: re.Pattern[str]) -> bool:
    lines = path.read_text("utf-8").splitlines()
    return any(makes.search(line) and not line.startswith("class ") for line in lines)
