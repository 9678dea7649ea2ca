"""What is kept of a span that cannot be read, and that keeping it never raises."""

from typing import Any

import pytest

from cost_exporter.read import dead_letter, request, strip
from cost_exporter.read.dead_letter import dead_letter_of
from cost_exporter.read.fields.vendor_usage import python_object
from cost_exporter.read.otlp import wire
from cost_exporter.read.strip import strip_content
from tests.read.otlp_spans import CHAT, SPAN_ID, document, facts
from tests.read.otlp_spans import request as request_of
from tests.support.attribute_values import plain


def span_of(attributes: dict[str, Any]) -> wire.Span:
    return request_of(document(attributes))[0].scope_spans[0].spans[0]


def kept_of(attributes: dict[str, Any]) -> dict[str, Any]:
    payload = strip_content(span_of(attributes))
    (kept,) = wire.parse_request(payload).resource_spans[0].scope_spans[0].spans
    return {key: plain(value) for key, value in kept.attributes.items()}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{1: 2}", "unreadable"),
        ("{[1]: 2}", "unreadable"),
        ("{'a': {1: 2, 'b': 3}, 4: 5}", '{"a": {"b": 3}}'),
        ("{'a': 0x" + "f" * 8_000 + "}", '{"a": 1' + "0" * 30 + "}"),
        ("{'a': -0x" + "f" * 8_000 + "}", '{"a": -1' + "0" * 30 + "}"),
        ("{'a': True, 'b': None, 'c': {1}, 'id': 'x', 'text': 'secret'}", '{"a": true, "id": "x"}'),
    ],
)
def test_a_python_text_is_stripped_whatever_its_keys_and_numbers(text: str, kept: str) -> None:
    """JSON has no keys but texts, and Python refuses to write the longest integers."""
    assert kept_of({**CHAT, "usage": text})["usage"] == kept


def test_a_python_dict_has_only_texts_as_keys() -> None:
    """Whoever asks it for a name, sorts or cuts its keys may count on that."""
    assert python_object("{1: 2, 'a': 3}") == {"a": 3}
    assert python_object("{[1]: 2}") == {}


def test_what_cannot_be_stripped_is_kept_as_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a count stated is not a count unstated; where a word of ours would be a name or an id, it is left out."""

    def trips(*arguments: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(strip, "_stripped_value", trips)
    named = {"callfare.tenant.id": "acme", "url.full": "https://a.example/", "gen_ai.response.id": "r"}
    kept = kept_of({**CHAT, **named, "gen_ai.usage.cache_read.input_tokens": 5})
    assert set(kept.values()) == {"unreadable"}
    assert set(kept) == {"gen_ai.request.model", "gen_ai.usage.cache_read.input_tokens"}


def test_a_span_that_cannot_be_stripped_is_kept_by_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so, without the text of the error, which may quote a prompt."""

    def trips(*arguments: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(dead_letter, "strip_content", trips)
    letter = dead_letter_of(span_of(CHAT), None, None, reason="too_deep", detail="a detail")
    assert (letter.reason, letter.span_id.hex(), letter.payload) == ("too_deep", SPAN_ID, b"")
    assert letter.detail == "a detail; nothing was kept of it: ZeroDivisionError"


@pytest.mark.parametrize("name", ["origin_of", "layouts_of_scope"])
def test_what_is_wrong_with_a_resource_or_scope_costs_its_own_spans(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spans of all others are read."""
    original = getattr(request, name)
    calls: list[object] = []

    def trips_once(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError("secret")
        return original(*arguments, **options)

    monkeypatch.setattr(request, name, trips_once)
    found = facts(document(CHAT), document(CHAT, spanId="aa" * 8))
    assert [call.span_id.hex() for call in found.calls] == ["aa" * 8]
    (letter,) = found.dead_letters
    assert (letter.reason, letter.detail, letter.span_id.hex()) == ("our_fault", "ZeroDivisionError", SPAN_ID)
    assert b"gpt-4o" in letter.payload
