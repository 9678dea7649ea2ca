import json
import subprocess
import sys
import textwrap

import pytest

from cost_exporter.errors import TooLarge, Undecodable
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_order import streamed_spans
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.read.otlp.wire_shape import shape_of, varint
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.fixtures import otlp_json
from tests.read.otlp_spans import RECEIVED_AT_UNIX_NS, SPAN_ID, document
from tests.receive import bodies
from tests.support.attribute_values import plain
from tests.support.waiting import RUN_SECONDS_MAX


def decoded(content: bytes, limits: Limits | None = None) -> DecodedRequest:
    return decode(
        content,
        Encoding.PROTOBUF,
        SenderIdentity(namespace="acme", tenant_is_trusted=False),
        received_at_unix_ns=7,
        limits=limits or Limits(),
    )


def ids(request: DecodedRequest) -> list[bytes]:
    return [span.span_id for span in bodies.spans_of(request.resource_spans)]


def test_a_good_request_arrives_whole() -> None:
    """Spans, sender and time of receipt are as given, and there is no dead letter."""
    request = decoded(bodies.body(bodies.span(1), bodies.span(2)))
    assert ids(request) == [bodies.span_id(1), bodies.span_id(2)]
    assert (request.namespace, request.tenant_is_trusted, request.received_at_unix_ns) == ("acme", False, 7)
    assert list(request.dead_letters) == []
    span = bodies.spans_of(request.resource_spans)[0]
    assert plain(span.attributes["gen_ai.usage.input_tokens"]) == 12


def test_an_empty_request_is_a_request() -> None:
    """No bytes are a request without spans, as OTLP says."""
    assert ids(decoded(b"")) == []


@pytest.mark.parametrize("content", [b"\xff", b"\x0a\xff", b"nonsense", b"\x0a\x05abc", b"\x0f", b"\x0b", b"\xff" * 99])
def test_what_is_no_request_is_undecodable(content: bytes) -> None:
    """Bytes in which no span can be found are refused as a whole."""
    with pytest.raises(Undecodable):
        decoded(content)


@pytest.mark.parametrize(
    ("bad", "repaired"),
    [
        (b"\xff", "\ufffd"),
        (b"ab\xff\xfecd", "ab\ufffd\ufffdcd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"half \xe2\x82", "half \ufffd"),
    ],
)
def test_invalid_utf8_is_replaced_and_every_span_kept(bad: bytes, repaired: str) -> None:
    """A bad byte becomes U+FFFD: in a value, a key, a name, an event, a list, a resource and a scope."""
    spoilt = bodies.span(2) + bodies.attribute(b"text", bodies.field(1, bad))
    spoilt += bodies.attribute(b"key" + bad, bodies.field(1, b"value")) + bodies.field(5, bad)
    spoilt += bodies.field(11, bodies.field(2, bad))
    spoilt += bodies.attribute(b"list", bodies.field(5, bodies.field(1, bodies.field(1, bad))))
    resource = bodies.field(1, bodies.field(1, b"service.name") + bodies.field(2, bodies.field(1, bad)))
    content = bodies.body(bodies.span(1), spoilt, bodies.span(3), resource=resource, scope=bodies.field(1, bad))
    request = decoded(content)
    assert ids(request) == [bodies.span_id(1), bodies.span_id(2), bodies.span_id(3)]
    assert list(request.dead_letters) == []
    span = bodies.spans_of(request.resource_spans)[1]
    assert plain(span.attributes["text"]) == repaired
    assert plain(span.attributes["key" + repaired]) == "value"
    assert plain(span.attributes["list"]) == [repaired]
    assert (span.name, span.events[0].name) == (repaired, repaired)
    assert plain(span.attributes["gen_ai.usage.input_tokens"]) == 12
    assert plain(request.resource_spans[0].resource.attributes["service.name"]) == repaired
    assert request.resource_spans[0].scope_spans[0].scope.name == repaired


@pytest.mark.parametrize("levels", [90, 5_000])
def test_a_deep_value_costs_nothing_before_it_is_read(levels: int) -> None:
    """Values of a span are not looked at here, so one nested beyond the decoder does no harm."""
    request = decoded(bodies.body(bodies.span(1) + bodies.attribute(b"deep", bodies.nested(levels))))
    assert ids(request) == [bodies.span_id(1)]
    assert list(request.dead_letters) == []


@pytest.mark.parametrize("levels", [48, 90, 5_000])
def test_a_too_deep_span_is_a_dead_letter_and_the_others_are_kept(levels: int) -> None:
    """One span with an event nested beyond the decoder costs no other span, and can be replayed without it."""
    deep = bodies.span(2) + bodies.event(b"deep", bodies.nested(levels))
    resource = bodies.field(1, bodies.field(1, b"service.name") + bodies.field(2, bodies.field(1, b"bot")))
    request = decoded(bodies.body(bodies.span(1), deep, bodies.span(3), resource=resource))
    assert ids(request) == [bodies.span_id(1), bodies.span_id(3)]
    (letter,) = request.dead_letters
    assert (letter.reason, letter.trace_id, letter.span_id) == ("too_deep", bodies.trace_id(0), bodies.span_id(2))
    assert plain(bodies.payload_span(letter).attributes["gen_ai.usage.input_tokens"]) == 12
    replayed = wire.parse_request(letter.payload).resource_spans[0].resource
    assert plain(replayed.attributes["service.name"]) == "bot"


@pytest.mark.parametrize("text", [b"good", b"bad \xff"])
def test_a_value_as_deep_as_the_decoder_goes_is_kept(text: bytes) -> None:
    """46 levels in an event are no reason to lose a span, not even with invalid UTF-8 beside them."""
    request = decoded(bodies.body(bodies.span(1) + bodies.event(b"deep", bodies.nested(46)) + bodies.field(5, text)))
    assert ids(request) == [bodies.span_id(1)]
    assert list(request.dead_letters) == []


def test_a_broken_span_is_a_dead_letter_with_what_could_be_read() -> None:
    """A span whose bytes end in the middle keeps its ids and what came before."""
    broken = bodies.span(2) + b"\x4a\x7f\x0a"
    request = decoded(bodies.body(bodies.span(1), broken))
    assert ids(request) == [bodies.span_id(1)]
    (letter,) = request.dead_letters
    assert (letter.reason, letter.span_id) == ("undecodable_span", bodies.span_id(2))
    assert plain(bodies.payload_span(letter).attributes["gen_ai.usage.input_tokens"]) == 12


def test_a_broken_attribute_costs_its_span_not_the_batch() -> None:
    """An attribute that is no message makes its span a dead letter; a resource merely loses it."""
    broken = bodies.span(2) + bodies.field(9, b"\x0a\x7f")
    resource = bodies.field(1, b"\x0a\x7f") + bodies.field(1, bodies.field(1, b"k") + bodies.field(2, b"\x18\x05"))
    request = decoded(bodies.body(bodies.span(1), broken, resource=resource))
    assert ids(request) == [bodies.span_id(1)]
    assert [letter.reason for letter in request.dead_letters] == ["undecodable_span"]
    assert plain(request.resource_spans[0].resource.attributes["k"]) == 5


def test_a_dead_letter_holds_no_content() -> None:
    """What is kept of a bad span is stripped: no prompt, no event, whatever the salvage read."""
    canary = b"canary-prompt"
    bad = bodies.span(2) + bodies.attribute(b"gen_ai.prompt.0.content", bodies.field(1, canary))
    bad += bodies.field(11, bodies.field(2, canary)) + bodies.event(b"deep", bodies.nested(60))
    (letter,) = decoded(bodies.body(bad)).dead_letters
    assert canary not in letter.payload
    assert "canary" not in letter.detail


def test_obsolete_groups_are_skipped() -> None:
    """Unknown groups, fixed and variable fields do not confuse the salvage."""
    group = varint(20 << 3 | 3) + b"\x08\x01\x0d1234\x09" + b"12345678" + bodies.field(1, b"x") + b"\x0b\x0c"
    group += varint(20 << 3 | 4)
    odd = bodies.span(1) + group + varint(21 << 3) + b"\x96\x01" + bodies.field(5, b"\xff")
    request = decoded(bodies.body(odd))
    assert ids(request) == [bodies.span_id(1)]


def test_more_spans_than_the_limit_are_too_large_and_as_many_are_not() -> None:
    """The bound is exact, and counted before decoding."""
    limits = Limits(spans_max=100)
    assert len(ids(decoded(bodies.body(*[b""] * 100), limits))) == 100
    for content in (
        bodies.body(*[b""] * 101),
        bodies.body(*[b""] * 60) + bodies.body(*[b""] * 60),
        b"\x0a\x00" * 101,
        bodies.field(1, b"\x12\x00" * 101),
    ):
        with pytest.raises(TooLarge):
            decoded(content, limits)


def test_a_body_larger_than_the_limit_is_too_large() -> None:
    """The limit is in bytes and exact."""
    content = bodies.body(bodies.span(1))
    assert ids(decoded(content, Limits(body_bytes_max=len(content))))
    with pytest.raises(TooLarge, match="send smaller batches"):
        decoded(content, Limits(body_bytes_max=len(content) - 1))


BOMBS = """
import resource, sys, time
from cost_exporter.errors import TooLarge
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.fixtures import otlp_json
from tests.read.otlp_spans import RECEIVED_AT_UNIX_NS, SPAN_ID, document
from tests.receive import bodies
MIB = 1024 * 1024
room = 64 * MIB - 64
kinds = {
    "spans": lambda: bodies.body(b"")[:0] + bodies.field(1, bodies.field(2, b"\\x12\\x00" * (room // 2))),
    "resources": lambda: b"\\x0a\\x00" * (room // 2),
    "scopes": lambda: bodies.field(1, b"\\x12\\x00" * (room // 2)),
    "events": lambda: bodies.body(bodies.span(1) + b"\\x5a\\x00" * (room // 2 - 200)),
    "events, long tags": lambda: bodies.body(bodies.span(1) + b"\\xda\\x00\\x80\\x00" * (room // 4 - 200)),
    "array": lambda: bodies.body(
        bodies.span(1) + bodies.attribute(b"a", bodies.field(5, b"\\x0a\\x00" * (room // 2 - 200)))),
    "attributes": lambda: bodies.body(bodies.span(1) + b"".join(
        [bodies.attribute(b"%05d" % n, b"") for n in range(100_000)] * (room // 1_150_000))),
}
content = kinds[sys.argv[1]]()
assert len(content) > 50 * MIB, len(content)
started_seconds = time.process_time()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(content, Encoding.PROTOBUF, SenderIdentity(), received_at_unix_ns=0)
    print("accepted", end=" ")
except TooLarge:
    print("too large", end=" ")
seconds = time.process_time() - started_seconds
grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(grown_mib, seconds)
assert grown_mib < 384, grown_mib
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spans", "resources", "scopes", "events", "events, long tags", "array", "attributes"])
def test_bombs_of_64_mib_take_no_memory(kind: str) -> None:
    """Millions of two-byte messages are refused before they are decoded: peak memory stays flat."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOMBS), kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shape_is_that_of_the_slim_descriptor() -> None:
    """The walker knows which fields are text and which are messages from the decoder's own descriptor."""
    span = shape_of("Request").messages[1].messages[2].messages[2]
    assert span.strings == {5}
    assert set(span.messages) == {9, 11, 15}
    value = span.messages[9].messages[2]
    assert value.messages[5].messages[1] is value


USAGE_KEY, MODEL_KEY = "gen_ai.usage.output_tokens", "gen_ai.response.model"


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize(
    ("scope", "names", "is_streamed"),
    [
        ("opentelemetry.instrumentation.anthropic", (USAGE_KEY, MODEL_KEY), True),
        ("opentelemetry.instrumentation.anthropic", (MODEL_KEY, USAGE_KEY), False),
        ("opentelemetry.instrumentation.anthropic", (USAGE_KEY,), False),
        ("opentelemetry.instrumentation.anthropic", (), False),
    ],
)
def test_the_order_of_attributes_is_kept_where_it_means_something(
    scope: str, names: tuple[str, ...], is_streamed: bool, encoding: Encoding
) -> None:
    """A decoded span has none; of Traceloop's Anthropic spans it shows which are of a stream."""
    answer = {USAGE_KEY: 174, MODEL_KEY: "claude-haiku-4-5"}
    sent = document({name: answer[name] for name in names}, scope=scope)
    body = json.dumps(sent).encode() if encoding is Encoding.JSON else otlp_json.body(sent)
    found = decode(body, encoding, SenderIdentity(), received_at_unix_ns=RECEIVED_AT_UNIX_NS)
    assert found.streamed_spans == (frozenset({bytes.fromhex(SPAN_ID)}) if is_streamed else frozenset())


def test_what_only_salvage_can_read_has_no_order() -> None:
    """It is read as exact, and nothing else is lost."""
    assert streamed_spans(b"\x0a\x7fopentelemetry.instrumentation.anthropic") == frozenset()
