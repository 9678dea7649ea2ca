"""Usage that nobody reads is named, and never priced as if it were not there."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.span import Call
from cost_exporter.prices import load_book
from cost_exporter.read import layout
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.read.strip import strip_content
from cost_exporter.read.vocabulary import usage_names
from cost_exporter.read.vocabulary.aliases import QUANTITY_ALIASES
from cost_exporter.read.vocabulary.usage_names import is_container, usage_name
from tests.fixtures import otlp_json
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, call, document, request

RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded", "foreign")
COUNTED = {**CHAT, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 100}
DETAILS = frozenset(
    {"cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"}
    | {"input_audio_tokens", "output_audio_tokens", "cache_audio_read_tokens"}
    | {"input_image_tokens", "output_image_tokens", "reasoning_tokens"}
)
DETAIL_KEYS = frozenset(key for alias in QUANTITY_ALIASES if alias.quantity in DETAILS for key in alias.keys)
JSON_DETAIL = re.compile(r"(?:cache|reason|thought|audio_tokens|image_tokens|ephemeral)", re.IGNORECASE)
UNREAD_BY_EMITTER: dict[str, set[str]] = {}
"""Usage on recorded spans that callfare does not read: none."""


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_book()


@pytest.mark.parametrize(
    ("name", "count", "is_estimated", "is_incomplete"),
    [
        # A part of what was read, by the side that the name tells.
        ("gen_ai.usage.cached_foo_tokens", 4480, True, False),
        ("gen_ai.usage.prompt_foo_tokens", 4480, True, False),
        ("gen_ai.usage.outputTokenDetails.thinkingFoo", 64, True, False),
        ("gen_ai.usage.input_foo_image_tokens", 64, True, False),
        ("foo.bar.input_tokens_cached_foo", 64, True, False),
        # More than the total: it cannot be a part of it.
        ("gen_ai.usage.cached_foo_tokens", 5001, True, True),
        # A measure of its own, or no side.
        ("gen_ai.usage.foo_characters", 42, True, True),
        ("gen_ai.usage.foo_seconds", 4.5, True, True),
        ("gen_ai.usage.foo_searches", 2, True, True),
        ("gen_ai.usage.images_foo", 2, True, True),
        ("gen_ai.usage.foo_audio_tokens", 42, True, True),
        ("gen_ai.usage.foo", 42, True, True),
        ("gen_ai.tool.web_search.count", 2, True, True),
        ("gen_ai.grounding.queries", 2, True, True),
        ("gen_ai.usage.video_duration", 8, True, True),
        ("gen_ai.usage.cached_content", 4000, True, False),
        ("gen_ai.usage.server_tool_use.code_execution_requests", 3, True, True),
        ("gen_ai.usage.request_duration", 8, False, False),
        ("gen_ai.usage.cached_foo_tokens", "4000 tokens", True, True),
        ("gen_ai.usage.foo_code", 8, False, False),
        ("gen_ai.usage.requests", 8, False, False),
        ("gen_ai.tool.file_search.calls", 2, True, True),
        ("gen_ai.tool.code_interpreter.sessions", 2, True, True),
        ("gen_ai.code_execution.runs", 2, True, True),
        ("gen_ai.usage.foo_tokens", [12, 30], True, True),
        ("gen_ai.usage.foo_tokens", "[12, 30]", True, True),
        ("llm.tools.web_search_requests", 2, True, True),
        ("ai.search_queries", 2, True, True),
        # Said again under another name, nothing, or no usage at all.
        ("gen_ai.usage.prompt_foo_tokens", 5000, False, False),
        ("gen_ai.usage.cached_foo_tokens", 0, False, False),
        ("gen_ai.usage.cached_foo_tokens", "none", False, False),
        ("gen_ai.usage.total_foo_tokens", 5100, False, False),
        ("gen_ai.usage.uncached_foo_tokens", 4000, False, False),
        ("gen_ai.usage.input_token_details.no_cache", 4000, False, False),
        ("gen_ai.usage.output_tokens_per_second", 80, False, False),
        ("gen_ai.request.max_foo_tokens", 4096, False, False),
        ("gen_ai.response.time_to_first_token", 2, False, False),
        ("app.cache.hits", 2, False, False),
        ("app.image.width", 1024, False, False),
        ("gen_ai.tool.call.arguments.tokens", 12, False, False),
        ("gen_ai.tool.tokens", 12, False, False),
        ("gen_ai.tool.call.count", 2, False, False),
        ("gen_ai.tool.web_search.name", 2, False, False),
        ("app.tool.search.count", 2, False, False),
    ],
)
def test_a_number_that_speaks_of_usage_is_never_passed_over(
    name: str, count: object, is_estimated: bool, is_incomplete: bool
) -> None:
    """A part of a total makes an estimate; what may be more leaves the record incomplete; sums and rates do nothing."""
    found = call({**COUNTED, name: count}).usage
    assert (found.is_estimated, found.is_incomplete) == (is_estimated, is_incomplete)


def test_it_is_named_with_its_value() -> None:
    """Who reads the record learns what was not understood, and how much it was; numbers may come as text."""
    found = call({**COUNTED, "gen_ai.usage.cached_foo_tokens": "4480"})
    assert found.issues == ("unread_usage: gen_ai.usage.cached_foo_tokens = 4480",)


def test_a_value_that_may_be_content_is_not_shown() -> None:
    """An application chose this name: what stands there may be anything. A long name is cut."""
    name = f"app.{'x' * 100}.characters_tokens"
    (issue,) = call({**COUNTED, name: 4915551234567}).issues
    assert issue == f"unread_usage: {name[:80]}"
    assert call({**COUNTED, f"app.{'x' * 300}.cached_tokens": 12}).issues == ()


def test_a_record_without_its_whole_usage_is_partial(book: PriceBook) -> None:
    """The quote is for the known part, and says so; a part of what was read is an estimate."""
    part = call({**COUNTED, "gen_ai.usage.cached_foo_tokens": 4480}).usage
    more = call({**COUNTED, "gen_ai.usage.foo_searches": 3}).usage
    assert book.price_of_call(part).status == "estimated"
    refused = replace(more, is_refused=True, quantities={})
    assert book.price_of_call(refused).status == "priced"
    unstated = replace(more, quantities={"input_tokens": 5000})
    assert "not_stated: output_tokens" in book.price_of_call(unstated).issues
    quote = book.price_of_call(more)
    assert (quote.status, quote.amount_usd) == ("partial", book.price_of_call(part).amount_usd)


def test_usage_objects_are_read_whoever_writes_them() -> None:
    """JSON, a repr or a map under a name that says usage: what is known in it is taken, the rest is named."""
    usage = {"prompt_tokens": 5000, "prompt_tokens_details": {"cached_tokens": 4480, "cached_foo_tokens": 12}}
    for written in (json.dumps(usage), repr(usage), usage):
        found = call({**COUNTED, "foo.response.usage": written})
        assert found.usage.quantities["cache_read_tokens"] == 4480
        assert found.issues == ("unread_usage: foo.response.usage.prompt_tokens_details.cached_foo_tokens = 12",), (
            written
        )
    assert call({**COUNTED, "foo.response.usage": "a lot"}).issues == ()


@pytest.mark.parametrize(
    ("usage", "quantities"),
    [
        (  # Google: thoughts are counted beside the candidates, its own tools' input beside the prompt
            {
                "promptTokenCount": 100,
                "toolUsePromptTokenCount": 20,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 30,
                "thoughtsTokenCount": 60,
                "totalTokenCount": 210,
            },
            {"input_tokens": 120, "output_tokens": 90, "cache_read_tokens": 40, "reasoning_tokens": 60},
        ),
        ({"promptTokenCount": 100, "thoughtsTokenCount": 60}, {"input_tokens": 100, "output_tokens": 60}),
        (  # Bedrock: input without what was cached
            {"inputTokens": 50, "outputTokens": 120, "cacheReadInputTokens": 1000, "cacheWriteInputTokens": 300},
            {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1000, "cache_write_tokens": 300},
        ),
        (  # LangChain
            {
                "input_tokens": 5000,
                "output_tokens": 120,
                "input_token_details": {"cache_read": 4480, "cache_creation": 20, "audio": 7},
                "output_token_details": {"reasoning": 64, "audio": 3},
            },
            {
                "input_tokens": 5000,
                "output_tokens": 120,
                "cache_read_tokens": 4480,
                "cache_write_tokens": 20,
                "input_audio_tokens": 7,
                "reasoning_tokens": 64,
                "output_audio_tokens": 3,
            },
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, {"cache_read_tokens": 4}),
        (  # Google's modalities
            {
                "promptTokenCount": 90,
                "candidatesTokenCount": 50,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 20},
                    {"modality": "AUDIO", "tokenCount": 70},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, 1],
                "candidatesTokensDetails": [{"modality": "IMAGE", "token_count": 40}],
            },
            {
                "input_tokens": 90,
                "output_tokens": 50,
                "input_audio_tokens": 70,
                "cache_audio_read_tokens": 30,
                "output_image_tokens": 40,
            },
        ),
        ({"foo": None, "bar": True, "prompt_tokens": 9}, {"input_tokens": 9}),
        ({"type": "duration", "seconds": 12.5}, {"audio_seconds": Decimal("12.5")}),
        ({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"cached_tokens": 4}}}}}}}}, {}),
        ({f"name_{number}": number for number in range(200)}, {}),
    ],
)
def test_vendors_own_words_are_understood(usage: dict[str, Any], quantities: dict[str, Any]) -> None:
    """As an object inside a JSON text, and as a map."""
    for written in (json.dumps(usage), usage):
        found = call({**CHAT, "foo.response.usage": written}).usage.quantities
        assert {name: found.get(name) for name in quantities} == quantities
        assert quantities or not found


def test_names_that_a_sender_makes_up_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those judged harmless are forgotten when there are too many; nothing else changes."""
    monkeypatch.setattr(layout, "_HARMLESS_MAX", 2)
    for number in range(4):
        assert call({**COUNTED, f"app.name_{number}": 1, "app.x": 2}).issues == ()
    assert len(layout._harmless) <= 4


def test_a_dead_letter_keeps_what_was_not_read() -> None:
    """A span that is replayed from a dead letter is as incomplete as it was; its content is gone all the same."""
    unread = {
        "gen_ai.usage.cached_foo_tokens": 4480,
        "foo.usage": '{"prompt_tokens": 5000, "said": "hello"}',
        "app.foo_tokens": "hello",
    }
    (each,) = request(document({**COUNTED, **unread}))
    (span,) = each.scope_spans[0].spans
    payload = strip_content(span)
    assert b"hello" not in payload
    (kept,) = wire.parse_request(payload).resource_spans[0].scope_spans[0].spans
    assert {"gen_ai.usage.cached_foo_tokens", "foo.usage"} <= set(kept.attributes)
    assert not kept.attributes["app.foo_tokens"]


OBJECT: dict[str, Any] = {"prompt_tokens": 5000, "prompt_tokens_details": {"cached_tokens": 4480}, "said": "hello"}


@pytest.mark.parametrize("write", [json.dumps, repr, dict], ids=["JSON", "repr", "map"])
@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("foo.usage", OBJECT),
        ("gen_ai.usage.details", OBJECT),
        ("gen_ai.usage.prompt_token_details", {"cached_tokens": 4480, "said": "hello"}),
        ("gen_ai.response.metadata", {"id": "x", "token_usage": OBJECT}),
        ("foo.llm_output", {"usage": {"foo_seconds": 3, "said": "hello"}}),
        ("foo.usage", {"cached_foo_tokens": 7, "said": "hello"}),
        ("metadata.usage_object", OBJECT),
    ],
)
def test_a_usage_object_survives_a_dead_letter_however_it_is_written(
    name: str, held: dict[str, Any], write: Callable[[object], object]
) -> None:
    """Also as a map of OTLP's own: what is replayed has the same usage, and no content."""
    sent = document({**CHAT, "gen_ai.usage.output_tokens": 5, "foo.service_tier": "priority", name: write(held)})
    (each,) = request(sent)
    (span,) = each.scope_spans[0].spans
    payload = strip_content(span, each.scope_spans[0].scope, each.resource)
    assert b"hello" not in payload
    (replayed,) = read(wire.parse_request(payload).resource_spans).calls
    (first,) = read([each]).calls
    assert replayed == first
    assert replayed.usage.service_tier == "priority"
    assert len(replayed.usage.quantities) > 1 or replayed.issues


def read(resource_spans: Sequence[wire.ResourceSpans]) -> Facts:
    return read_request(
        resource_spans, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True
    )


def test_a_name_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many spans carry it; one that is too long for a name is none, and takes no memory."""
    attributes = {**COUNTED, "gen_ai.usage.cached_once_tokens": 4480, "app.once": 1, "foo.once.usage": "{}"}
    found = call(attributes)
    assert found.usage.is_estimated
    monkeypatch.setattr(usage_names, "_words", None)
    assert call(attributes) == found
    assert not is_container("x" * 300 + ".usage")
    assert usage_name("cached_tokens" * 30) is None
    with pytest.raises(TypeError):
        is_container("another.usage")


# ------------------------------------------------------------------------------------------- the recorded corpus


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_nothing_recorded_is_unread(path: Path) -> None:
    """The corpus as it is: no false alarm, and nothing that callfare does not read."""
    named = Counter(issue.partition(" = ")[0] for each in _calls(path, {}) for issue in each.issues)
    unread = {issue.removeprefix("unread_usage: ") for issue in named if issue.startswith("unread_usage")}
    assert unread == UNREAD_BY_EMITTER.get(path.stem, set())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_detail_under_an_unknown_name_is_never_plain_priced(path: Path, book: PriceBook) -> None:
    """Each detail of the corpus renamed to what nobody knows: the calls that had it are no longer plain `priced`."""
    known = {(each.trace_id, each.span_id): each for each in _calls(path, {})}
    renamed = {(each.trace_id, each.span_id): each for each in _calls(path, _RENAME)}
    assert known.keys() == renamed.keys()
    for key, each in renamed.items():
        lost = {name for name in DETAILS & known[key].usage.quantities.keys() if name not in each.usage.quantities}
        if not lost or known[key].usage.is_refused:
            continue
        facts = TraceFacts(namespace="default", tenant_is_trusted=True, calls={key: each}, links={})
        record = settle(facts, book.price_of_call)[key]
        assert record.status not in {"priced", "reported"}, (lost, each)
        assert any(issue.startswith("unread_usage") for issue in record.issues), (lost, each)


_RENAME = {"": "foo"}


def _calls(path: Path, renaming: dict[str, str]) -> list[Call]:
    documents = list(otlp_json.documents(path))
    if renaming:
        for attribute in (each for document in documents for each in _attributes(document)):
            _rename(attribute)
    spans = [each for one in documents for each in wire.parse_request(otlp_json.body(one)).resource_spans]
    ends = [span.end_time_unix_nano for each in spans for scope_spans in each.scope_spans for span in scope_spans.spans]
    facts = read_request(
        spans, namespace="default", received_at_unix_ns=max(RECEIVED_AT_UNIX_NS, *ends), tenant_is_trusted=True
    )
    return list(facts.calls)


def _attributes(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in document["resourceSpans"]:
        for scope_spans in each["scopeSpans"]:
            for span in scope_spans["spans"]:
                yield from span.get("attributes", ())


def _rename(attribute: dict[str, Any]) -> None:
    if attribute["key"] in DETAIL_KEYS:
        attribute["key"] = _unknown(attribute["key"])
    text = attribute["value"].get("stringValue", "")
    if text.startswith("{"):
        attribute["value"] = {"stringValue": _JSON_KEY.sub(_renamed_key, text)}


_JSON_KEY = re.compile(r"""(["'])(\w+)\1(?=\s*:\s*["']?\d)""")


def _renamed_key(match: re.Match[str]) -> str:
    quote, name = match.groups()
    return f"{quote}{_unknown(name) if JSON_DETAIL.search(name) else name}{quote}"


def _unknown(name: str) -> str:
    """Return a name that speaks of the same thing, and that no table has."""
    return re.sub(r"([._]?)(tokens?|Tokens?)\b", r"\1foo_\2", name) if "oken" in name else f"{name}_foo"


def test_what_our_collector_removed_by_name_is_unread_usage() -> None:
    """Names that speak of usage; other names do nothing, and neither do they take the long way each time."""
    removed = {**COUNTED, "redaction.redacted.keys": "app.x,gen_ai.usage.cached_foo_tokens,llm.finish_reason"}
    for _ in range(2):
        found = call(removed)
        assert found.issues == ("unread_usage: gen_ai.usage.cached_foo_tokens (redacted)",)
        assert found.usage.is_incomplete
    harmless = "app.x,gen_ai.request.audio_voice,metadata.oauth_token,ai.response.finishReason,memory.usage"
    assert call({**COUNTED, "redaction.redacted.keys": harmless}).issues == ()
    assert call({**COUNTED, "redaction.redacted.keys": "gen_ai.foo.usage"}).usage.is_incomplete


def test_a_service_tier_that_our_collector_removed_leaves_an_estimate() -> None:
    """It decides which price is right, and says nothing of how much there was."""
    found = call({**COUNTED, "redaction.redacted.keys": "vendor.x.service_tier"})
    assert found.issues == ("unpriced_term: vendor.x.service_tier (redacted)",)
    assert (found.usage.is_estimated, found.usage.is_incomplete) == (True, False)


def test_usage_in_a_list_is_not_passed_over() -> None:
    """It may be of several models, or rounds."""
    usage = {"models": [{"cached_foo_tokens": 4, "modality": "TEXT"}]}
    found = call({**COUNTED, "foo.usage": json.dumps(usage)})
    assert found.issues == ("unread_usage: foo.usage.models.0.cached_foo_tokens = 4",)


def test_perplexity_counts_reasoning_and_citations_beside_its_output() -> None:
    """And states its searches, in its own usage object."""
    usage = {
        "prompt_tokens": 33,
        "completion_tokens": 7163,
        "total_tokens": 7196,
        "citation_tokens": 20016,
        "num_search_queries": 18,
        "reasoning_tokens": 73997,
    }
    asked = {"gen_ai.provider.name": "perplexity", "gen_ai.request.model": "sonar-deep-research"}
    found = call({"gen_ai.operation.name": "chat", **asked, "foo.usage": json.dumps(usage)})
    assert found.usage.quantities == {
        "input_tokens": 33,
        "output_tokens": 7163 + 73997,
        "reasoning_tokens": 73997,
        "citation_tokens": 20016,
        "web_searches": 18,
    }
