"""Calls that two instrumentations report, as real clients sent them: read, settled and priced, once each."""

import itertools
import json
from decimal import Decimal as D
from pathlib import Path

import pytest

from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.prices import load_book
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from tests.fixtures import otlp_json
from tests.read.otlp_spans import RECEIVED_AT_UNIX_NS

CLIENTS = Path(otlp_json.__file__).parent / "clients"
CLAUDE_IN, CLAUDE_READ, CLAUDE_5M, CLAUDE_1H, CLAUDE_OUT = D(3), D("0.30"), D("3.75"), D(6), D(15)
GPT_IN, GPT_READ, GPT_OUT = D("0.15"), D("0.075"), D("0.60")
M = 1_000_000


def claude(uncached: int, read: int, written_5m: int, written_1h: int, output: int) -> D:
    """What a call of Claude Sonnet 4.5 costs by the list."""
    written = CLAUDE_5M * written_5m + CLAUDE_1H * written_1h
    return (CLAUDE_IN * uncached + CLAUDE_READ * read + written + CLAUDE_OUT * output) / M


def gpt(uncached: int, read: int, output: int) -> D:
    """What a call of GPT-4o mini costs by the list."""
    return (GPT_IN * uncached + GPT_READ * read + GPT_OUT * output) / M


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        # Two roots a call: the framework's and the SDK's, which alone knows the 5 minute and 1 hour split.
        (
            "langchain-oi-anthropic-native-roots",
            [claude(400, 650, 410, 390, 1150), claude(401, 651, 411, 391, 1153)],
        ),
        # A graph's spans in one trace, each of the SDK's in its own.
        ("langgraph-oi-anthropic-native", [claude(515, 765, 525, 505, 1495), claude(516, 766, 526, 506, 1498)]),
        # Side by side in one trace: only the framework's says what was cached.
        ("ojs-langchain-otjs-openai-seq", [gpt(942, 107, 221)] * 2),
        ("synth-langchain-provider-otjs-openai-seq", [gpt(942, 107, 221)] * 2),
        # A stream left by `break`: the SDK's span has no output, the one above it no split.
        ("js-anthropic-oi-abandoned", [claude(5093, 5343, 5103, 5083, 15229)]),
    ],
)
def test_each_call_of_two_instrumentations_is_billed_once(name: str, costs: list[D]) -> None:
    """With the finest split that either reports, whichever of the two is billed."""
    document = json.loads((CLIENTS / f"{name}.json").read_text(encoding="utf-8"))
    found = read_request(
        wire.parse_request(otlp_json.body(document)).resource_spans,
        namespace="default",
        received_at_unix_ns=RECEIVED_AT_UNIX_NS,
        tenant_is_trusted=True,
    )
    calls = {(call.trace_id, call.span_id): call for call in found.calls}
    links = {(link.trace_id, link.span_id): link for link in found.links}
    price = load_book().price_of_call
    for order in itertools.islice(itertools.permutations(calls.items()), 24):
        facts = TraceFacts(namespace="default", tenant_is_trusted=True, calls=dict(order), links=links)
        records = settle(facts, price).values()
        billed = [record for record in records if record.status != "duplicate"]
        assert {record.status for record in billed} == {"priced"}
        assert sorted(record.known_cost_usd for record in billed) == sorted(costs)
