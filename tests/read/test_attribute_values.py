"""Values that are decoded when they are read: mended if need be, and fatal only to a span that needs them."""

from typing import Any

import pytest

from cost_exporter.domain.facts import Facts
from cost_exporter.read import layout, origin
from cost_exporter.read.estimate import with_estimates
from cost_exporter.read.fields import identity
from cost_exporter.read.otlp import attribute_values, wire
from cost_exporter.read.otlp.attribute_values import COUNTS, SpanAttributes, UnreadableValue, short_text, value_of
from cost_exporter.read.otlp.wire_shape import varint
from cost_exporter.read.request import read_request
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, document, facts, request
from tests.receive import bodies
from tests.support.attribute_values import plain

MODEL, TOKENS = "gen_ai.request.model", "gen_ai.usage.input_tokens"
BROKEN = b"\x0a\x7f"
NO_FIELD = varint(1 << 32) + b"\x01"
"""A field of a number that there is not: only the decoder minds."""


def text(content: bytes) -> bytes:
    return bodies.field(1, content)


def read(spoilt: dict[str, bytes], **attributes: Any) -> Facts:
    """Read a chat of which some attributes are as encoded here."""
    decoded = request(document({**CHAT, TOKENS: 12, **attributes}))
    for key, encoded in spoilt.items():
        decoded[0].scope_spans[0].spans[0].attributes[key] = encoded  # type: ignore[index]
    return read_request(decoded, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True)


@pytest.mark.parametrize(
    ("encoded", "repaired"),
    [
        (text(b"good"), "good"),
        (text(b"ab\xff\xfecd"), "ab\ufffd\ufffdcd"),
        (text(b"\xed\xa0\x80"), "\ufffd\ufffd\ufffd"),
        (text(b"half \xe2\x82"), "half \ufffd"),
        (bodies.field(5, text(text(b"a\xff"))), ["a\ufffd"]),
        (bodies.field(6, bodies.field(1, text(b"k\xff") + bodies.field(2, text(b"v")))), {"k\ufffd": "v"}),
        (b"", None),
    ],
)
def test_invalid_utf8_is_mended_where_it_is_read(encoded: bytes, repaired: Any) -> None:
    """At any depth of a value."""
    assert plain(value_of(encoded)) == repaired


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (BROKEN, "undecodable_span"),
        (b"\xff" * 11, "undecodable_span"),
        (NO_FIELD, "undecodable_span"),
        (bodies.nested(90), "too_deep"),
        (bodies.nested(5_000), "too_deep"),
    ],
)
def test_what_is_no_value_cannot_be_read(encoded: bytes, reason: str) -> None:
    """The reason is that of the dead letter."""
    with pytest.raises(UnreadableValue) as raised:
        value_of(encoded)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("key", "kept_as"),
    [(MODEL, "unreadable"), (TOKENS, "unreadable")]
    + [(key, None) for key in ("callfare.tenant.id", "gen_ai.response.id", "gen_ai.request.stream", "url.full")],
)
@pytest.mark.parametrize(("encoded", "reason"), [(BROKEN, "undecodable_span"), (bodies.nested(90), "too_deep")])
def test_a_span_whose_bill_needs_an_unreadable_value_is_a_dead_letter(
    key: str, kept_as: str | None, encoded: bytes, reason: str
) -> None:
    """Never a bill without it: that would look right. What is kept has the rest, and no other price when replayed."""
    found = read({key: encoded})
    (letter,) = found.dead_letters
    assert (letter.reason, found.calls, found.links) == (reason, [], [])
    (kept,) = wire.parse_request(letter.payload).resource_spans[0].scope_spans[0].spans
    assert (plain(kept.attributes[key]) if key in kept.attributes else None) == kept_as
    assert plain(kept.attributes["gen_ai.operation.name"]) == "chat"


@pytest.mark.parametrize("encoded", [BROKEN, NO_FIELD, bodies.nested(5_000), text(b"\xff")])
def test_an_unreadable_value_that_nobody_reads_spoils_no_bill(encoded: bytes) -> None:
    """The span is billed like one without it, and is the same span."""
    found = read({"http.request.body": encoded})
    assert found.calls == facts(document({**CHAT, TOKENS: 12})).calls
    assert not found.dead_letters


def test_a_mended_model_is_read_like_one_that_came_so() -> None:
    """The same call, with the same hash, by whichever encoding."""
    assert read({MODEL: text(b"gpt\xff")}).calls == facts(document({**CHAT, MODEL: "gpt\ufffd", TOKENS: 12})).calls


def test_text_that_cannot_be_read_is_not_estimated() -> None:
    """What was said is content: without it there is no estimate, and no dead letter either."""
    decoded = request(document({**CHAT, "gen_ai.input.messages": "four", "gen_ai.output.messages": "four more"}))
    decoded[0].scope_spans[0].spans[0].attributes["gen_ai.output.messages"] = BROKEN  # type: ignore[index]
    found = read_request(decoded, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True)
    (call,) = with_estimates(found.calls, decoded, reads_text=True)
    assert call.usage.quantities == {"input_tokens": 1}


def test_attributes_are_a_mapping() -> None:
    """Names can be listed and asked for without looking at the values."""
    attributes = SpanAttributes({"a": BROKEN, "b": text(b"x")})
    assert (list(attributes), len(attributes), "a" in attributes, "c" in attributes) == (["a", "b"], 2, True, False)
    assert attributes["b"].string_value == "x"
    assert attributes.get("c") is None
    with pytest.raises(UnreadableValue):
        attributes.get("a")


@pytest.mark.parametrize(
    ("encoded", "count"),
    [
        (b"\x18\x00", 0),
        (b"\x18\x0c", 12),
        (b"\x18\x8c\x00", 12),
        (b"\x18" + b"\xff" * 8 + b"\x7f", -1),
        (b"\x18" + b"\xff" * 9 + b"\x01", -1),
        (b"\x18\x05" + text(b"x"), -1),
        (text(b"12"), -1),
        (b"\x21" + bytes(8), -1),
        (b"", -1),
    ],
)
def test_counts_are_known_by_their_bytes(encoded: bytes, count: int) -> None:
    """Asked once and again; whatever is no plain count is left to whoever knows more."""
    assert [COUNTS[encoded], COUNTS[encoded]] == [count, count]


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (text(b"resp-1"), "resp-1"),
        (text(b"r" * 127), "r" * 127),
        (text(b"r" * 128), ""),
        (text("\u00e9".encode()), "\u00e9"),
        (text(b"\xff"), ""),
        (text(b""), ""),
        (text(b"a") + text(b"b"), ""),
        (b"\x18\x01", ""),
        (b"", ""),
    ],
)
def test_short_texts_are_read_off_their_bytes(encoded: bytes, text: str) -> None:
    """Anything else is left to the decoder."""
    assert short_text(encoded) == text


def test_memories_of_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender who makes up counts and long words costs time, never memory, and is read right."""
    monkeypatch.setattr(layout, "_scopes", {})
    monkeypatch.setattr(attribute_values, "_COUNTS_MAX", 4)
    COUNTS.clear()
    for number in range(300, 320):
        assert COUNTS[b"\x18" + bytes((number & 127 | 128, number >> 7))] == number
        assert len(COUNTS) <= 4
    long = "x" * max(identity._IDENTITY_BYTES_MAX, origin._ATTRIBUTION_BYTES_MAX)
    found = facts(document({**CHAT, MODEL: long, "user.id": long}, scope="long")).calls[0]
    assert (found.usage.model[:3], found.attribution.user) == ("xxx", "x" * 1024)
    (kept,) = layout.layouts_of_scope("long", "1.0")._layouts.values()
    assert (kept.identities, kept.attributions) == ({}, {})
