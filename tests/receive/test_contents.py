"""What stands in an attribute costs at most its own span, on every way from the bytes to the facts.

Seeded and counted as `test_fuzz.py`: CALLFARE_FUZZ_FACTOR=100 tries a hundred times as many.
"""

import json
import random
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.pipeline import Pipeline
from cost_exporter.read import dead_letter, strip
from cost_exporter.receive.decoding import otlp_json, salvage
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.receive import bodies, contents
from tests.receive.test_fuzz import repeat
from tests.support.attribute_values import plain

GOOD = 5
CUT_OFF_EVENT = bodies.field(11, b"\x0a\x7f")
BAD_ID = bodies.span_id(99)


class Ledger:
    """Stores nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.facts: list[Facts] = []

    def submit(self, facts: Facts) -> Receipt:
        self.facts.append(facts)
        return Receipt()


def read(body: bytes, encoding: Encoding = Encoding.PROTOBUF) -> Facts:
    """Decode and read as the service does, with everything switched on. Raises what it would answer 503 for."""
    ledger = Ledger()
    pipeline = Pipeline(ledger, lambda *_: None, is_forwarding=True, estimates_usage=True)
    pipeline(decode(body, encoding, SenderIdentity(), received_at_unix_ns=bodies.NOW_UNIX_NS + 10**9))
    return ledger.facts[0]


def good_spans() -> list[bytes]:
    return [bodies.span(number) for number in range(GOOD)]


def check(facts: Facts, bad: int) -> None:
    """The good spans are calls with what they say; each bad one is something, and what is kept of it is readable."""
    by_id = {call.span_id: call for call in facts.calls}
    assert all(by_id[bodies.span_id(n)].usage.quantities == {"input_tokens": 12} for n in range(GOOD))
    assert facts.span_count == GOOD + bad
    for letter in facts.dead_letters:
        assert letter.payload
        decode(letter.payload, Encoding.PROTOBUF, SenderIdentity(), received_at_unix_ns=1)


def bad_span(key: str, content: str) -> bytes:
    message = Span.FromString(bodies.span(99))
    message.attributes.append(KeyValue(key=key, value=AnyValue(string_value=content)))
    return message.SerializeToString() + CUT_OFF_EVENT


@pytest.mark.parametrize("content", contents.LITERALS)
@pytest.mark.parametrize("key", contents.WITH_JSON)
def test_a_text_under_a_json_key_of_a_broken_span_costs_no_neighbour(key: str, content: str) -> None:
    """Its dead letter is made while the request is decoded, and keeps what can be kept."""
    content = content.encode("utf-8", "replace").decode()
    facts = read(bodies.body(*good_spans(), bad_span(key, content)))
    check(facts, 1)
    (letter,) = facts.dead_letters
    assert (letter.reason, letter.span_id) == ("undecodable_span", BAD_ID)


@pytest.mark.parametrize("content", contents.LITERALS)
def test_json_nested_too_deep_costs_no_neighbour_either(content: str) -> None:
    """In JSON nothing has to be broken: a deep model name makes the dead letter."""
    content = content.encode("utf-8", "replace").decode()
    document = json.loads(json_format.MessageToJson(ExportTraceServiceRequest.FromString(bodies.body(*good_spans()))))
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    deep: Any = {"stringValue": "x"}
    for _ in range(150):
        deep = {"arrayValue": {"values": [deep]}}
    attributes = [
        {"key": "gen_ai.request.model", "value": deep},
        {"key": "gen_ai.usage.input_tokens", "value": deep},
        {"key": "callfare.tenant.id", "value": deep},
        {"key": "url.full", "value": deep},
        {"key": "usage", "value": {"stringValue": content}},
    ]
    spans.append(spans[0] | {"spanId": spans[0]["spanId"][:-2] + "ff", "attributes": attributes})
    facts = read(json.dumps(document).encode(), Encoding.JSON)
    check(facts, 1)
    (letter,) = facts.dead_letters
    assert letter.reason == "too_deep"
    kept = bodies.payload_span(letter).attributes
    # A count that was stated and could not be read is no count that was not stated.
    assert plain(kept["gen_ai.request.model"]) == plain(kept["gen_ai.usage.input_tokens"]) == "unreadable"
    assert not {"callfare.tenant.id", "url.full", "server.address"} & set(kept)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("encoding", Encoding)
def test_any_content_costs_its_own_span_at_most(seed: int, encoding: Encoding) -> None:
    """JSON, Python's repr, nesting, odd keys, odd numbers: in every attribute that anybody reads."""
    rng = random.Random(seed)

    def one() -> None:
        bad = [contents.span(rng, 100 + number) for number in range(3)]
        if encoding is Encoding.JSON:
            whole = json_format.ParseDict({}, ExportTraceServiceRequest())
            group = whole.resource_spans.add().scope_spans.add()
            group.spans.extend(Span.FromString(each) for each in good_spans())
            for number in range(3):
                message = Span.FromString(bodies.span(100 + number))
                message.attributes.extend(contents.attributes(rng))
                group.spans.append(message)
            # Lone surrogates, and numbers that no float holds, come as they are written.
            check(read(json_format.MessageToJson(whole).encode(), encoding), 3)
        else:
            resource = b"".join(bodies.field(1, each.SerializeToString()) for each in contents.attributes(rng, 2))
            check(read(bodies.body(*good_spans(), *bad, resource=resource)), 3)

    repeat(one, 60)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_bug_in_stripping_one_span_costs_no_neighbour(encoding: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever we do not know of yet: the span is kept by its ids, and the fault is named without its text."""

    def trips(*arguments: Any) -> bytes:
        raise ZeroDivisionError("a prompt")

    monkeypatch.setattr(dead_letter, "strip_content", trips)
    if encoding is Encoding.PROTOBUF:
        body = bodies.body(*good_spans(), bad_span("usage", "{}"))
    else:
        document = json_format.MessageToDict(ExportTraceServiceRequest.FromString(bodies.body(*good_spans())))
        document["resourceSpans"][0]["scopeSpans"][0]["spans"].append([])
        body = json.dumps(document).encode()
    facts = read(body, encoding)
    assert len(facts.calls) == GOOD
    (letter,) = facts.dead_letters
    assert letter.payload == b""
    assert "ZeroDivisionError" in letter.detail
    assert "prompt" not in letter.detail


def test_a_bug_with_one_attribute_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be stripped is missing, and the rest of the span can be replayed."""

    def trips(text: str) -> str:
        raise ZeroDivisionError(text)

    monkeypatch.setattr(strip, "_distilled", trips)
    facts = read(bodies.body(*good_spans(), bad_span("usage", "{}")))
    kept = bodies.payload_span(facts.dead_letters[0]).attributes
    assert "usage" not in kept
    assert plain(kept["gen_ai.request.model"]) == "gpt-4o"


@pytest.mark.parametrize(
    ("module", "name", "encoding"),
    [(salvage, "repair", Encoding.PROTOBUF), (otlp_json, "_fill_span_values", Encoding.JSON)],
)
def test_a_bug_in_decoding_one_span_costs_no_neighbour(
    module: Any, name: str, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salvaging and the JSON decoder go on after a span of which they trip."""
    original = getattr(module, name)

    def trips(given: Any, *arguments: Any) -> Any:
        text = given if isinstance(given, bytes) else given.name.encode()
        if b"trips" in text:
            raise ZeroDivisionError(text)
        return original(given, *arguments)

    monkeypatch.setattr(module, name, trips)
    message = Span.FromString(bodies.span(99))
    message.name = "trips"
    if encoding is Encoding.PROTOBUF:
        body = bodies.body(*good_spans(), message.SerializeToString() + CUT_OFF_EVENT)
    else:
        whole = ExportTraceServiceRequest.FromString(bodies.body(*good_spans(), message.SerializeToString()))
        document = json_format.MessageToDict(whole)
        for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            span["spanId"] = bodies.span_id(GOOD).hex() if span["name"] == "trips" else span["spanId"]
        body = json.dumps(document).encode()
    facts = read(body, encoding)
    assert len(facts.calls) == GOOD
    (letter,) = facts.dead_letters
    assert letter.reason == "our_fault"
    assert "ZeroDivisionError" in letter.detail
