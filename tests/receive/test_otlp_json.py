import json
import math
from typing import Any

import pytest

from cost_exporter.errors import TooLarge, Undecodable
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.receive.decoding.json_depth import cut_deep
from tests.receive import bodies
from tests.support.attribute_values import plain

IDS = {"traceId": bodies.trace_id(0).hex(), "spanId": bodies.span_id(1).hex()}


def decoded(document: Any, limits: Limits | None = None) -> DecodedRequest:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode(content, Encoding.JSON, SenderIdentity(), received_at_unix_ns=1, limits=limits or Limits())


def request(*spans: Any, resource: Any = None, scope: Any = None) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": resource or {}, "scopeSpans": [{"scope": scope, "spans": list(spans)}]}]}


def one(**fields: Any) -> wire.Span:
    (span,) = bodies.spans_of(decoded(request(IDS | fields)).resource_spans)
    return span


def value_of(value: Any) -> Any:
    return plain(one(attributes=[{"key": "k", "value": value}]).attributes["k"])


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return value


def nested_text(levels: int) -> bytes:
    """The same as text: Python's own encoder is not that deep."""
    return b'{"arrayValue":{"values":[' * levels + b'{"intValue":1}' + b"]}}" * levels


def test_the_example_of_the_specification_is_read_whole() -> None:
    """Ids, times, kind, status, scope, resource and attributes of the specification's example arrive."""
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
                "scopeSpans": [
                    {
                        "scope": {
                            "name": "my.library",
                            "version": "1.0.0",
                            "attributes": [{"key": "a", "value": {"stringValue": "b"}}],
                        },
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "EEE19B7EC3C1B173",
                                "flags": 256,
                                "name": "I'm a server span",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000000",
                                "kind": 2,
                                "status": {"code": 2, "message": "no"},
                                "attributes": [{"key": "my.span.attr", "value": {"stringValue": "some value"}}],
                                "events": [{"name": "exception", "attributes": []}],
                                "fromTheFuture": {"anything": [1]},
                            }
                        ],
                    }
                ],
            }
        ]
    }
    found = decoded(document)
    span = bodies.spans_of(found.resource_spans)[0]
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert (span.span_id.hex(), span.parent_span_id.hex()) == ("eee19b7ec3c1b174", "eee19b7ec3c1b173")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert (span.name, span.kind, span.status.code, span.flags) == ("I'm a server span", 2, 2, 256)
    assert plain(span.attributes["my.span.attr"]) == "some value"
    assert span.events[0].name == "exception"
    scope = found.resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version, plain(scope.attributes["a"])) == ("my.library", "1.0.0", "b")
    assert plain(found.resource_spans[0].resource.attributes["service.name"]) == "my.service"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "text"}, "text"),
        ({"stringValue": ""}, ""),
        ({"stringValue": "half \ud800 pair"}, "half \ufffd pair"),
        ({"stringValue": "\ud83d\ude00"}, "\U0001f600"),
        ({"stringValue": "nul \0"}, "nul \0"),
        ({"stringValue": None}, None),
        ({"boolValue": True}, True),
        ({"boolValue": False}, False),
        ({"intValue": 12}, 12),
        ({"intValue": "12"}, 12),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 2**63 - 1}, 2**63 - 1),
        ({"intValue": 12.0}, 12),
        ({"intValue": 2**63}, 2.0**63),
        ({"intValue": "9" * 400}, math.inf),
        ({"intValue": 1.5}, 1.5),
        ({"intValue": "1e3"}, 1000),
        ({"doubleValue": 0.1}, 0.1),
        ({"doubleValue": "0.1"}, 0.1),
        ({"doubleValue": 3}, 3.0),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "AAE="}, b"\0\1"),
        ({"bytesValue": "not base64!"}, b""),
        ({"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}, {}]}}, [1, "x", None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, {"a": 1}),
        ({"string_value": "snake"}, "snake"),
        ({"fromTheFuture": 1}, None),
        ({}, None),
        (None, None),
        ("bare", None),
    ],
)
def test_values_are_read_in_every_form(value: Any, expected: Any) -> None:
    """Numbers as numbers or strings, half surrogate pairs, unknown and empty values: none costs the span."""
    found = value_of(value)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    "value", [{"doubleValue": None}, {"doubleValue": "NaN"}, {"intValue": None}, {"intValue": "many"}, {"intValue": []}]
)
def test_what_is_no_number_is_nan_so_that_it_is_seen(value: Any) -> None:
    """JavaScript writes NaN as null; a count that is no number must not vanish and look like no usage."""
    assert math.isnan(value_of(value))


def test_bare_nan_and_infinity_are_read() -> None:
    """Python's exporters write NaN and Infinity, which JSON does not know."""
    assert math.isnan(value_of({"doubleValue": math.nan}))
    assert value_of({"doubleValue": math.inf}) == math.inf


def test_a_number_of_more_digits_than_python_reads_does_not_cost_the_request() -> None:
    """5,000 digits are an absurd count, not a malformed document."""
    document = json.dumps(request(IDS | {"attributes": [{"key": "k", "value": {"intValue": 7}}]}))
    found = decoded(document.replace("7}", "7" * 5_000 + "}").encode())
    assert plain(bodies.spans_of(found.resource_spans)[0].attributes["k"]) == math.inf


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}}, (3, 2)),
        ({"kind": "CLIENT", "status": {"code": "ERROR"}}, (3, 2)),
        ({"kind": "3", "status": {"code": "2"}}, (3, 2)),
        ({"kind": None, "status": None}, (0, 0)),
        ({"kind": "nonsense", "status": {"code": -1}}, (0, 0)),
    ],
)
def test_enums_are_read_by_number_or_name(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    """Kind and status may be written either way; nonsense is unset."""
    span = one(**fields)
    assert (span.kind, span.status.code) == expected


def test_the_words_of_a_status_are_read() -> None:
    """As in protobuf: they may hold the HTTP status by which a refused call costs nothing."""
    assert one(status={"code": 2, "message": "HTTP 429"}).status.message == b"HTTP 429"
    assert one(status={"code": 2, "message": 7}).status.message == b""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1790000000123456789", 1790000000123456789),
        (1790000000123456789, 1790000000123456789),
        (1.79e18, 1790000000000000000),
        ({"low": 1, "high": 2}, 2 * 2**32 + 1),
        ({"low": -1, "high": 0}, 2**32 - 1),
        (2**64 - 1, 2**64 - 1),
        (2**64, 0),
        (-1, 0),
        ("soon", 0),
        (None, 0),
        (math.nan, 0),
    ],
)
def test_times_are_read_in_every_form(given: Any, expected: int) -> None:
    """String, number and protobuf.js's {low, high}; what is no time is 0, which counts as time of receipt."""
    assert one(startTimeUnixNano=given).start_time_unix_nano == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ABCDEFabcdef00112233445566778899", bytes.fromhex("abcdefabcdef00112233445566778899")),
        ("W47/95gDgQPSabYzgT/GDA==", bytes.fromhex("5b8efff798038103d269b633813fc60c")),
        ("abc", b""),
        ("zz", b""),
        ("", b""),
        (5, b""),
        (None, b""),
    ],
)
def test_ids_are_hex_in_either_case(given: Any, expected: bytes) -> None:
    """Hex as OTLP says, base64 as protobuf's own mapping writes it; anything else is no id, for the reader to see."""
    span = one(traceId=given)
    assert span.trace_id == expected


def test_snake_case_is_read_too() -> None:
    """Names as protobuf spells them are accepted, as its JSON mapping does."""
    document = {
        "resource_spans": [
            {
                "scope_spans": [
                    {"spans": [{"trace_id": IDS["traceId"], "span_id": IDS["spanId"], "end_time_unix_nano": 5}]}
                ]
            }
        ]
    }
    span = bodies.spans_of(decoded(document).resource_spans)[0]
    assert (span.span_id, span.end_time_unix_nano) == (bodies.span_id(1), 5)


@pytest.mark.parametrize("document", [{}, {"resourceSpans": []}, {"resourceSpans": None}, {"fromTheFuture": 1}])
def test_an_empty_document_is_an_empty_request(document: Any) -> None:
    """A request without spans is a success."""
    assert bodies.spans_of(decoded(document).resource_spans) == []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"nonsense",
        [],
        7,
        {"resourceSpans": {}},
        {"resourceSpans": [7]},
        {"resourceSpans": [{"scopeSpans": "x"}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]},
        b"[" * 5_000,
        b'{"resourceSpans":' + b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_undecodable(document: Any) -> None:
    """Not JSON, or JSON of another shape, is refused as a whole."""
    with pytest.raises(Undecodable):
        decoded(document)


def test_a_span_that_is_no_object_is_a_dead_letter() -> None:
    """One bad span does not cost its batch."""
    found = decoded(request(IDS, "no span", None))
    assert len(bodies.spans_of(found.resource_spans)) == 1
    assert [letter.reason for letter in found.dead_letters] == ["undecodable_span"] * 2


@pytest.mark.parametrize("levels", [48, 300, 5_000])
def test_a_too_deep_span_is_a_dead_letter_and_the_others_are_kept(levels: int) -> None:
    """Deep values neither exhaust the stack nor cost the other spans, nor their own where nobody reads them."""
    tokens = {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 12}}
    unread = {"key": "k", "value": "DEEP"}
    ignored = IDS | {"attributes": [tokens, unread]}
    deep = {"traceId": IDS["traceId"], "spanId": bodies.span_id(2).hex()}
    deep["attributes"] = [tokens, unread, {"key": "gen_ai.request.model", "value": "DEEP"}]  # type: ignore[assignment]
    document = json.dumps(request(ignored, deep, IDS)).encode().replace(b'"DEEP"', nested_text(levels))
    found = decoded(document)
    kept = [list(span.attributes) for span in bodies.spans_of(found.resource_spans)]
    assert kept == [["gen_ai.usage.input_tokens"], []]
    (letter,) = found.dead_letters
    assert (letter.reason, letter.span_id) == ("too_deep", bodies.span_id(2))
    assert plain(bodies.payload_span(letter).attributes["gen_ai.usage.input_tokens"]) == 12


def test_a_value_as_deep_as_protobuf_goes_is_kept() -> None:
    """47 levels are no reason to lose a span, and a resource merely loses what is deeper."""
    found = decoded(
        request(
            IDS | {"attributes": [{"key": "k", "value": nested(47)}]},
            resource={"attributes": [{"key": "deep", "value": nested(48)}, {"key": "k", "value": {"intValue": 5}}]},
        )
    )
    assert len(bodies.spans_of(found.resource_spans)) == 1
    assert list(found.resource_spans[0].resource.attributes) == ["k"]


def test_cutting_minds_braces_in_strings() -> None:
    """Brackets within strings, also behind escaped quotes, are no depth."""
    document = json.dumps({"a": '[{"' * 500, "b": ["\\", '"', "]"]})
    assert cut_deep(document) == document
    deep = '{"a":' + "[" * 300 + '"]]"' + "]" * 300 + ',"b":1}'
    assert json.loads(cut_deep(deep))["b"] == 1


def test_invalid_utf8_and_a_byte_order_mark_are_mended() -> None:
    """Bytes that are no UTF-8 become U+FFFD; a mark at the beginning is skipped."""
    document = json.dumps(request(IDS | {"name": "NAME"})).encode().replace(b"NAME", b"a\xff\xed\xa0\x80")
    span = bodies.spans_of(decoded(b"\xef\xbb\xbf" + document).resource_spans)[0]
    assert span.name == "a" + "\ufffd" * 4


def test_too_many_spans_or_values_are_too_large() -> None:
    """The number of spans is bounded, and so is the memory that Python's objects would take."""
    with pytest.raises(TooLarge):
        decoded(request(*[IDS] * 101), Limits(spans_max=100))
    with pytest.raises(TooLarge):
        decoded(request(IDS), Limits(body_bytes_max=10))
    with pytest.raises(TooLarge, match="too many values"):
        decoded(b'{"a":[' + b"{}," * 5_000_000 + b"{}]}")


@pytest.mark.parametrize("colon", [b":", b" :", b"\t\r\n:"])
def test_too_many_keys_are_too_large_wherever_they_are(colon: bytes) -> None:
    """Each is a string and a place in a table, also in an object that nobody reads."""
    keys = b",".join(b'"%d"%s1' % (number, colon) for number in range(1_500_000))
    with pytest.raises(TooLarge, match="too many values"):
        decoded(b'{"unknown":{' + keys + b"}}")


def test_a_text_of_colons_is_not_too_many_keys() -> None:
    """Only what ends a key counts."""
    assert one(name="12:30:" * 500_000).name == "12:30:" * 500_000


@pytest.mark.parametrize(
    "attributes", [None, {}, "x", [None, 7, {"value": {"intValue": 1}}, {"key": 5, "value": {"intValue": 1}}]]
)
def test_attributes_of_another_shape_are_left_out(attributes: Any) -> None:
    """Attributes that are none do not cost their span."""
    assert dict(one(attributes=attributes, events=attributes).attributes) == {}
