"""The two branches of the real Collector: what is done for the eyes changes nothing for the bill."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import RunCollector
from tests.fixtures import otlp_json
from tests.support import otlp
from tests.support.waiting import wait_until

pytestmark = needs_go

CANARY = "the-patient-said-0049-151-CANARY"
OPENLIT, SPEECH = "openlit.instrumentation.openai", "text_to_speech"
DECIDE_SOON: dict[str, Any] = {"processors": {"tail_sampling": {"decision_wait": "1s"}}}


def test_tail_sampling_on_the_view_leaves_the_cost_side_complete(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """Of 400 traces a tenth or so is shown, every failed one among them; all 2,000 spans reach the cost side."""
    layer_names = ["base", "dev", "tail-sampling-jaeger"]
    collector = run_collector(layer_names, overrides=DECIDE_SOON)
    failed = [otlp_sender.span(trace, 9, parent=1, failed=True) for trace in range(1, 6)]
    # First, and so in one request with the rest of their traces: a second after its first span a trace is decided.
    spans = failed + [each for trace in range(1, 401) for each in otlp_sender.conversation(trace)]
    for body in otlp_sender.batches(spans, size=200):
        otlp_sender.send(collector.grpc, body)
    wait_until("all spans on the cost side", lambda: len(cost.arrived) == len(spans))
    decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    wait_until("a decision on every trace", lambda: collector.metric(decided) >= 400)
    failed_traces = {each.trace_id for each in failed}
    wait_until("the failed traces in the view", lambda: failed_traces <= _traces(view.spans))
    assert len(_traces(view.spans)) < 200
    assert set(cost.arrived) == {(each.trace_id, each.span_id) for each in spans}


def test_each_span_reaches_the_view_by_exactly_one_way(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """With the hop, priced spans are marked for the cost exporter and left out of the direct way."""
    collector = run_collector(["base", "dev", "cost-on-span"])
    spans = otlp_sender.conversation(1)
    spans += [otlp_sender.span(1, 20, parent=1, attributes={"telephony.call.id": "CA1"})]
    spans += [otlp_sender.span(1, 21, parent=1, attributes={"text": 'quotes "gen_ai.system" in its text only'})]
    spans += [otlp_sender.span(1, 22, parent=1, attributes={"callfare.view": "hop"})]
    otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    wait_until("the cost side", lambda: len(cost.arrived) == len(spans))
    marked = {each.span_id for each in cost.spans if _attributes(each).get("callfare.view") == "hop"}
    assert marked == {number.to_bytes(8, "big") for number in (3, 4, 5, 20)}
    others = {each.span_id for each in cost.spans if _attributes(each).get("callfare.view") == "direct"}
    assert others == {each.span_id for each in spans} - marked
    assert all("callfare.view" not in _attributes(each) for each in view.spans)

    enriched = [each for each in cost.spans if each.span_id in marked]
    otlp_sender.send(collector.enriched, otlp_sender.request(enriched))
    wait_until("the whole trace in the view", lambda: len(view.arrived) == len(spans))
    assert set(view.arrived.values()) == {1}


def test_redaction_removes_what_people_said_and_keeps_what_they_used(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """A canary in every place that can hold text is gone from the cost side; the numbers are the same, and numbers."""
    collector = run_collector(["base", "dev", "redact", "archive-file"])
    content = dict.fromkeys(("gen_ai.input.messages", "gen_ai.prompt.0.content", "text", "ai.prompt", "url"), CANARY)
    mixed = {
        "output.value": json.dumps({"id": "r-1", "usage": {"total_tokens": 9}, "choices": [{"text": CANARY}]}),
        "llm.invocation_parameters": json.dumps({"model": "gpt-4o", "messages": [CANARY], "input": CANARY}),
        "langfuse.observation.model.parameters": json.dumps({"service_tier": "flex", "tools": [CANARY]}),
        "langwatch.params": json.dumps({"stream": True, "stop": CANARY}),
        "usage": json.dumps({"prompt_tokens": 9, "details": {"cached_tokens": None}}),
        "url.full": f"https://user:{CANARY}@example.com/v1/chat?q={CANARY}#\n{CANARY}",
    }
    reduced = {
        "output.value": '{"id":"r-1","usage":{"total_tokens":9}}',
        "llm.invocation_parameters": '{"model":"gpt-4o"}',
        "langfuse.observation.model.parameters": '{"service_tier":"flex"}',
        "langwatch.params": '{"stream":true}',
        "usage": mixed["usage"],
        "url.full": "https://example.com/v1/chat",
    }
    speech = {
        "gen_ai.usage.input_characters": 48,
        "gen_ai.usage.audio.input_seconds": 12.5,
        "gen_ai.usage.billable": False,
        "callfare.usage.read_units": 3.5,
    }
    call = otlp_sender.span(1, 2, parent=1, attributes={**otlp_sender.CHAT, **speech, **content, **mixed})
    call.status.message = f"bad request: {CANARY}"
    event = call.events.add(name="gen_ai.user.message", time_unix_nano=call.start_time_unix_nano)
    event.attributes.extend(otlp.key_values({"content": CANARY}))
    otlp_sender.send(collector.grpc, otlp_sender.request([call], resource={"process.command_args": CANARY}))
    (arrived,) = wait_until("the span", lambda: cost.spans)
    summary = {key: word for key, word in _attributes(arrived).items() if key.startswith("redaction.")}
    assert summary["redaction.redacted.keys"] == "ai.prompt,gen_ai.input.messages,gen_ai.prompt.0.content,text"
    assert _attributes(arrived) == {**otlp_sender.CHAT, **speech, **reduced, **summary}
    assert all(CANARY.encode() not in each.SerializeToString() for each in cost.resource_spans)
    archive = collector.folder / "archive" / "spans.jsonl"
    written = wait_until("the archive", lambda: _whole_lines(archive))
    assert CANARY not in str(written)


def test_a_text_of_another_shape_is_taken_away(run_collector: RunCollector, cost: OtlpSink) -> None:
    """Only what is looked for is put back, whatever else may stand in a text that should be JSON or an address."""
    keys = ("output.value", "llm.invocation_parameters", "embedding.invocation_parameters", "url.full")
    keys += ("langfuse.observation.model.parameters", "langwatch.params", "usage")
    texts = (CANARY, f'["{CANARY}"]', f'{{"usage": "{CANARY}"}}', f"{{{CANARY}", f'{{"input": "{CANARY}"}}')
    pairs = [(key, text) for key in keys for text in texts]
    collector = run_collector(["base", "dev", "redact"])
    calls = [
        otlp_sender.span(1, number, parent=99, attributes={**otlp_sender.CHAT, "tts.character_count": 1, key: text})
        for number, (key, text) in enumerate(pairs, start=1)
    ]
    otlp_sender.send(collector.grpc, otlp_sender.request(calls))
    wait_until("the spans", lambda: len(cost.arrived) == len(pairs))
    assert all(CANARY.encode() not in body for body in cost.bodies)


def test_redaction_and_the_filter_change_no_figure(run_collector: RunCollector, cost: OtlpSink) -> None:
    """Spans recorded from real emitters are read to the same calls after both layers as before them."""
    collector = run_collector(["base", "dev", "redact", "filter-billable"])
    files = otlp_json.recorded_files("emitters", "recorded", "voice")
    before = [each for path in files for each in otlp_json.documents(path)]
    for document in before:
        otlp_sender.send(collector.grpc, otlp_json.body(document))
    expected = _calls(otlp_json.body(document) for document in before)
    wanted = set(expected)
    wait_until("all calls on the cost side", lambda: wanted <= set(cost.arrived))
    found = _calls(cost.bodies)
    changed = {span for span in expected if found.get(span) != expected[span]}
    # OpenLIT tells the characters of speech by the text alone, which stops here: they are unknown then.
    texts = {span for span, (usage, _, scope) in expected.items() if scope == OPENLIT and usage.operation == SPEECH}
    # Haystack has the usage of a model in the output of its component, beside the answers.
    haystack = next(path for path in files if path.stem == "haystack")
    texts |= {
        span for span in _calls(map(otlp_json.body, otlp_json.documents(haystack))) if expected[span][0].quantities
    }
    assert changed == texts
    assert all(found[span][0].quantities == {} for span in texts)


def test_attributes_of_links_are_beyond_the_collectors_reach(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """No processor of this release can touch a link's attributes: the README says so; links are never stored.

    Should a newer Collector make this fail, redact them in layers/redact.yaml.
    """
    collector = run_collector(["base", "dev", "redact"])
    call = otlp_sender.span(1, 2, parent=1)
    link = call.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    link.attributes.extend(otlp.key_values({"content": CANARY}))
    otlp_sender.send(collector.grpc, otlp_sender.request([call]))
    (arrived,) = wait_until("the span", lambda: cost.spans)
    assert arrived.links[0].attributes[0].value.string_value == CANARY


def test_the_billable_filter_keeps_roots_and_whatever_may_cost(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """A span of a web framework is left out; roots, vendors' calls and database calls reach the cost side."""
    collector = run_collector(["base", "dev", "filter-billable"])
    kept = otlp_sender.conversation(1)
    inner = otlp_sender.span(1, 30, parent=1, name="middleware", attributes={"http.route": "/chat"})
    otlp_sender.send(collector.grpc, otlp_sender.request([inner, *kept]))
    wait_until("the rest", lambda: len(cost.arrived) >= len(kept))
    wait_until("all in the view", lambda: len(view.arrived) == len(kept) + 1)
    assert set(cost.arrived) == {(each.trace_id, each.span_id) for each in kept}


def test_the_tenant_is_what_the_collector_says(run_collector: RunCollector, cost: OtlpSink, view: OtlpSink) -> None:
    """A sender's own claim is thrown away on resource and span; the Collector states its tenant, in a header too."""
    collector = run_collector(["base", "dev", "tenants"], variables={"CALLFARE_TENANT": "acme"})
    claimed = otlp_sender.span(1, 1, attributes={**otlp_sender.CHAT, "callfare.tenant.id": "somebody-else"})
    otlp_sender.send(collector.grpc, otlp_sender.request([claimed], resource={"callfare.tenant.id": "somebody-else"}))
    (arrived,) = wait_until("the span", lambda: cost.spans)
    resource = {each.key: each.value.string_value for each in cost.resource_spans[0].resource.attributes}
    assert "callfare.tenant.id" not in _attributes(arrived)
    assert resource["callfare.tenant.id"] == "acme"
    assert cost.metadata[0]["x-callfare-tenant"] == "acme"


def test_an_archived_line_can_be_sent_again(run_collector: RunCollector, cost: OtlpSink, view: OtlpSink) -> None:
    """Each line of the archive is a request that OTLP/HTTP takes as it stands."""
    collector = run_collector(["base", "dev", "redact", "archive-file"])
    spans = otlp_sender.conversation(1)
    otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    archive = collector.folder / "archive" / "spans.jsonl"
    lines = wait_until("the archive", lambda: _whole_lines(archive))
    wait_until("the spans once", lambda: len(cost.arrived) == len(spans))
    for line in lines:
        answer = httpx.post(
            f"http://127.0.0.1:{collector.http}/v1/traces",
            content=line,
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert answer.status_code == httpx.codes.OK
    wait_until("the spans twice", lambda: set(cost.arrived.values()) == {2})
    assert len(cost.arrived) == len(spans)


def _calls(bodies: Iterable[bytes]) -> dict[tuple[bytes, bytes], Any]:
    """What is billable of each call, by span."""
    resource_spans = [each for body in bodies for each in wire.parse_request(body).resource_spans]
    facts = read_request(
        resource_spans, namespace="default", received_at_unix_ns=2_000_000_000 * 10**9, tenant_is_trusted=True
    )
    return {(call.trace_id, call.span_id): (call.usage, call.call_id, call.scope) for call in facts.calls}


def _whole_lines(archive: Path) -> list[str]:
    """What is written to its end by now."""
    return re.findall(r"(.+)\n", archive.read_text()) if archive.exists() else []


def _traces(spans: Iterable[Span]) -> set[bytes]:
    return {span.trace_id for span in spans}


def _attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
