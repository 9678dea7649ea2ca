"""Application, Collector, cost exporter, PostgreSQL and Jaeger, all real: nothing lost, doubled or leaked."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.exposed import Secrets, loopback_addresses
from tests.end_to_end.running import Collector, Jaeger, Program
from tests.end_to_end.service import CostExporter
from tests.support import otlp
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = needs_go

Start = Callable[[Program], Program]

CALLS_PER_TRACE = 3
SPANS_PER_TRACE = CALLS_PER_TRACE + 2
CHAT_USD = (Decimal("0.15") * 1_200 + Decimal("0.60") * 345) / 1_000_000
CANARY = "the-patient-said-0049-151-CANARY"


@pytest.fixture
def exporter(database_folder: Path) -> Iterator[CostExporter]:
    """The cost exporter, stopped properly at the end, so that its PostgreSQL stops too."""
    exporter = CostExporter(database_folder / "exporter")
    exporter.start()
    yield exporter
    exporter.stop()


def test_every_call_is_billed_once_whatever_is_killed(
    collector_binary: Path, tmp_path: Path, exporter: CostExporter, started: Start
) -> None:
    """10,000 spans while Collector, cost exporter and PostgreSQL are killed in turn: 6,000 records, one a call."""
    collector = Collector(
        collector_binary,
        tmp_path / "collector",
        ["base", "dev", "redact", "tail-sampling-jaeger"],
        cost=exporter.grpc,
        view=free_ports(1)[0],
    )
    started(collector)
    traces = range(1, 10_000 // SPANS_PER_TRACE + 1)
    spans = [span for trace in traces for span in otlp_sender.conversation(trace, calls=CALLS_PER_TRACE)]
    bodies = list(otlp_sender.batches(spans, size=100))
    for number, body in enumerate(bodies):
        if number == len(bodies) // 5:
            exporter.kill()
        if number == len(bodies) * 2 // 5:
            exporter.environment["CALLFARE_PROCESSES"] = "2"  # and from here on workers receive
            exporter.start()
            collector.kill()
            collector.start()
        if number == len(bodies) * 3 // 5:
            exporter.kill_database()
        otlp_sender.send(collector.grpc, body)
    exporter.wait_for_records(len(traces) * CALLS_PER_TRACE)

    for body in bodies[:10]:  # and a sender that sends again what was acknowledged
        otlp_sender.send(collector.grpc, body)
    wait_until(
        "an empty queue", lambda: collector.metric("otelcol_exporter_queue_size", exporter="otlp_grpc/cost") == 0
    )
    stored = exporter.rows("select trace_id, span_id, status, cost_usd from callfare.cost_record")
    calls = [span for span in spans if span.name.startswith("chat")]
    assert {(trace.bytes, bytes.fromhex(span)) for trace, span, _, _ in stored} == {
        (span.trace_id, span.span_id) for span in calls
    }
    assert len(stored) == len(calls)
    assert {status for _, _, status, _ in stored} == {"priced"}
    assert sum(cost for _, _, _, cost in stored) == CHAT_USD * len(calls)
    assert exporter.rows("select * from callfare.integrity_check") == []


def test_what_people_said_is_nowhere_in_the_database(
    collector_binary: Path, tmp_path: Path, exporter: CostExporter, started: Start
) -> None:
    """Without any redaction in the Collector, the service itself stores no prompt, in no table, as text or bytes."""
    collector = Collector(
        collector_binary, tmp_path / "collector", ["base", "dev"], cost=exporter.grpc, view=free_ports(1)[0]
    )
    started(collector)
    content = {"gen_ai.input.messages": CANARY, "gen_ai.prompt.0.content": CANARY, "output.value": CANARY}
    spans = otlp_sender.conversation(1, attributes={**otlp_sender.CHAT, **content})
    event = spans[-1].events.add(name="gen_ai.user.message", time_unix_nano=1)
    event.attributes.extend(otlp.key_values({"content": CANARY}))
    broken = otlp_sender.span(0, 7, attributes={**otlp_sender.CHAT, **content})  # an id of zeros: dead-lettered
    otlp_sender.send(collector.grpc, otlp_sender.request([*spans, broken]))
    exporter.wait_for_records(CALLS_PER_TRACE)
    assert exporter.rows("select count(*) from callfare.dead_letter") == [(1,)]
    assert exporter.rows_that_contain("gpt-4o-mini"), "the search finds what is there"
    assert exporter.rows_that_contain(CANARY) == []


def test_a_priced_call_is_found_in_jaeger_by_cost_and_tenant(
    collector_binary: Path, jaeger: Jaeger, tmp_path: Path, database_folder: Path, started: Start
) -> None:
    """Over the hop: each span once, the calls with their exact cost, though everything was sent twice."""
    collector = Collector(
        collector_binary, tmp_path / "collector", ["base", "dev", "redact", "cost-on-span"], cost=0, view=jaeger.otlp
    )
    exporter = CostExporter(
        database_folder / "exporter", CALLFARE_FORWARD_ENDPOINT=f"http://127.0.0.1:{collector.enriched}"
    )
    collector.environment["CALLFARE_COST_ENDPOINT"] = f"127.0.0.1:{exporter.grpc}"
    exporter.start()
    try:
        started(collector)
        spans = otlp_sender.conversation(1)
        body = otlp_sender.request(spans, resource={"callfare.tenant.id": "acme"})
        otlp_sender.send(collector.grpc, body)
        otlp_sender.send(collector.grpc, body)
        trace_id = f"{1:032x}"
        wait_until("the whole trace", lambda: len({s["spanId"] for s in jaeger.spans(trace_id)}) == len(spans))
        exporter.wait_for_records(CALLS_PER_TRACE)
        wait_until("an empty outbox", lambda: exporter.rows("select count(*) from callfare.outbox") == [(0,)])
        shown = [span for span in jaeger.spans(trace_id) if span["name"].startswith("chat")]
        assert len({json.dumps(span, sort_keys=True) for span in shown}) == CALLS_PER_TRACE
        for span in shown:
            attributes = {each["key"]: each["value"] for each in span["attributes"]}
            assert Decimal(attributes["callfare.cost.amount"]["stringValue"]) == CHAT_USD
            assert attributes["gen_ai.usage.cost.amount"] == {"doubleValue": float(CHAT_USD)}
        assert jaeger.trace_ids("shop", {"callfare.cost.bucket": "<0.001usd"}) == {trace_id}
        assert jaeger.trace_ids("shop", {"callfare.tenant.id": "acme"}) == {trace_id}
        assert jaeger.trace_ids("shop", {"callfare.cost.bucket": "1-10usd"}) == set()
    finally:
        exporter.stop()


def test_whatever_is_marked_for_the_hop_reaches_jaeger_unmarked(
    collector_binary: Path, jaeger: Jaeger, tmp_path: Path, database_folder: Path, started: Start
) -> None:
    """Wrappers (agents, workflows) take the hop too, and `callfare.view` is not shown to people."""
    collector = Collector(
        collector_binary, tmp_path / "collector", ["base", "dev", "cost-on-span"], cost=0, view=jaeger.otlp
    )
    exporter = CostExporter(
        database_folder / "exporter", CALLFARE_FORWARD_ENDPOINT=f"http://127.0.0.1:{collector.enriched}"
    )
    collector.environment["CALLFARE_COST_ENDPOINT"] = f"127.0.0.1:{exporter.grpc}"
    exporter.start()
    try:
        started(collector)
        agent = otlp_sender.span(1, 50, parent=1, attributes={"gen_ai.operation.name": "invoke_agent"})
        spans = [*otlp_sender.conversation(1), agent]
        otlp_sender.send(collector.grpc, otlp_sender.request(spans))
        trace_id = f"{1:032x}"
        wait_until("the whole trace", lambda: len({s["spanId"] for s in jaeger.spans(trace_id)}) == len(spans))
        assert "callfare.view" not in str(jaeger.spans(trace_id))
    finally:
        exporter.stop()


def test_http_reaches_the_bill_too(
    collector_binary: Path, tmp_path: Path, exporter: CostExporter, started: Start
) -> None:
    """A call sent over OTLP/HTTP to the Collector is billed like one sent over gRPC."""
    collector = Collector(
        collector_binary, tmp_path / "collector", ["base", "dev"], cost=exporter.grpc, view=free_ports(1)[0]
    )
    started(collector)
    answer = httpx.post(
        f"http://127.0.0.1:{collector.http}/v1/traces",
        content=otlp_sender.request(otlp_sender.conversation(1)),
        headers={"Content-Type": "application/x-protobuf"},
        timeout=60,
    )
    assert answer.status_code == httpx.codes.OK
    exporter.wait_for_records(CALLS_PER_TRACE)
    assert exporter.rows("select sum(cost_usd) from callfare.cost_record") == [(CHAT_USD * CALLS_PER_TRACE,)]


def test_in_production_the_token_says_whose_spans_they_are(
    collector_binary: Path, tmp_path: Path, database_folder: Path, secrets: Secrets, started: Start
) -> None:
    """All over TLS both ways: spans belong to the tenant of the Collector's token, whatever they claim."""
    own = {
        name: secrets.variables[name] for name in ("CALLFARE_TLS_CERT", "CALLFARE_TLS_KEY", "CALLFARE_TLS_CLIENT_CA")
    }
    exporter = CostExporter(database_folder / "exporter", **own)
    exporter.start()
    try:
        token = tmp_path / "token"
        token.write_text(_new_token(exporter, tenant="acme"))
        collector = Collector(
            collector_binary,
            tmp_path / "collector",
            ["base", "prod", "tls", "auth", "redact"],
            cost=exporter.grpc,
            view=exporter.grpc,
            variables=secrets.variables | {"CALLFARE_COST_TOKEN_FILE": str(token)},
        )
        collector.write_overrides(loopback_addresses(collector))
        started(collector)
        otlp_sender.send_once(
            collector.grpc,
            otlp_sender.request(otlp_sender.conversation(1), resource={"callfare.tenant.id": "somebody-else"}),
            metadata=[("authorization", f"Bearer {secrets.inward_token.read_text()}")],
            credentials=secrets.channel(),
        )
        exporter.wait_for_records(CALLS_PER_TRACE)
        assert exporter.rows("select distinct tenant_id from callfare.cost_record") == [("acme",)]
    finally:
        exporter.stop()


def _new_token(exporter: CostExporter, *, tenant: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "cost_exporter", "token", "create", "--tenant", tenant, "--json"],
        env=exporter.environment | {"CALLFARE_DATABASE_URL": exporter.database_url},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(made.stdout)["token"]
