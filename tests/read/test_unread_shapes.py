"""Whatever shape unread usage comes in it is seen, and what today's conventions and vendors write raises no alarm."""

import json
from typing import Any

import pytest

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.prices import load_book
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.read.strip import strip_content
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, call, document, facts, is_link, request

COUNTED = {**CHAT, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 100}
CLAUDE = {**CHAT, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
GEMINI = {**CHAT, "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5-flash"}
USAGE = "gen_ai.usage."


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_book()


@pytest.mark.parametrize(
    "name",
    [
        # A count, although a word of it is harmless elsewhere: content, a time, a setting, a machine.
        *(f"{USAGE}{kind}_tokens" for kind in ("message", "document", "function_call", "code", "schema", "memory")),
        *(f"{USAGE}{kind}_tokens" for kind in ("cache_created", "cache_write_ttl_1h", "high_quality_image")),
        *(f"{USAGE}{kind}" for kind in ("gpu_seconds", "text_to_speech_characters", "speech_to_text_seconds")),
        # How long audio is, in whatever unit.
        *(f"{USAGE}{kind}" for kind in ("audio_duration_ms", "audio_ms", "input_audio_length_ms", "audio_min")),
        # Words that are written as one, or cut short.
        *("llm.cachedtokens", "gen_ai.cachedtokens", "gen_ai.response.tokencount", "gen_ai.cached.toks"),
        # Measures that only an emitter counts.
        *("gen_ai.response.pages_processed", "gen_ai.neurons", "gen_ai.response.websearches", "aws.bedrock.images"),
    ],
)
def test_a_count_is_one_whatever_words_it_has(name: str) -> None:
    found = call({**COUNTED, name: 3})
    assert found.usage.is_estimated
    assert any(issue.startswith(f"unread_usage: {name}") for issue in found.issues), found.issues


@pytest.mark.parametrize(
    "written",
    [
        *("****", "[REDACTED]", "[Filtered]", "<masked>", "about 4000", "4,480", "4480 tokens", "4k"),
        *([4.5], ["4"], '["4"]', [{"a": 4}], '[{"a": 4}]', "[masked]"),
    ],
)
def test_a_value_that_hides_a_number_is_named(written: object) -> None:
    """Also after a stay among the dead letters, which keep no text of it."""
    sent = {**COUNTED, f"{USAGE}cached_foo_tokens": written}
    assert call(sent).usage.is_incomplete
    (each,) = request(document(sent))
    kept = wire.parse_request(strip_content(each.scope_spans[0].spans[0], each.scope_spans[0].scope)).resource_spans
    (replayed,) = read_request(
        kept, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True
    ).calls
    assert replayed.usage.is_incomplete


@pytest.mark.parametrize(
    ("name", "written", "is_incomplete"),
    [
        ("app.tokens", {"cached": 4000}, True),
        ("app.token_counts", '{"cached": 4000}', True),
        ("app.tokens", {"said": "hello"}, False),
        ("app.tokens_of", {"cached": 4000}, False),
        ("app.cached_tokens", "4,480", True),
        ("app.cached_tokens", [1, 2], False),
        ("app.cached_tokens", "****", False),
        (f"{USAGE}cached_foo_tokens", ["said"], False),
        (f"{USAGE}cached_foo_tokens", "a lot", False),
        ("gen_ai.completion.0.reasoning", "1. The user asks", False),
        ("gen_ai.response.reasoning_summary", "42 is the answer", False),
    ],
)
def test_an_object_is_looked_into_where_its_name_counts_tokens(name: str, written: object, is_incomplete: bool) -> None:
    """Elsewhere it is an application's, and a text is content."""
    assert call({**COUNTED, name: written}).usage.is_incomplete is is_incomplete


@pytest.mark.parametrize("empty", [[], {}, "", None, "none"])
def test_an_empty_value_says_nothing(empty: object) -> None:
    found = call({**COUNTED, f"{USAGE}cache_read.input_tokens": empty})
    assert (found.usage.quantities, found.issues) == ({"input_tokens": 5000, "output_tokens": 100}, ())


def test_a_hit_in_a_cache_is_no_plain_call_unless_it_is_known_what_was_cached() -> None:
    """It may be the answer of a gateway, which asked nobody."""
    hit = {**COUNTED, "gen_ai.cache_hit": True}
    assert call(hit).issues == ("unread_usage: gen_ai.cache_hit",)
    assert (call(hit).usage.is_estimated, call(hit).usage.is_incomplete) == (True, False)
    assert call({**hit, f"{USAGE}cache_read.input_tokens": 100}).issues == ()
    assert call({**COUNTED, "gen_ai.cache_hit": False}).issues == ()


@pytest.mark.parametrize(
    "name", ["gen_ai.usage.total", "gen_ai.usage.tokens_total", "gen_ai.usage.total_token_count", "usage.total_tokens"]
)
def test_a_sum_under_any_name_shows_what_is_missing(name: str) -> None:
    """5,100 is all that was read; an application's own sum may be of anything."""
    for _ in range(2):  # the second may go the short way
        assert call({**COUNTED, name: 5100}).issues == ()
        found = call({**COUNTED, name: 9000})
        assert found.issues == ("total_mismatch: total_tokens = 9000, input and output are 5100",)
        assert found.usage.is_incomplete
    assert call({**COUNTED, "app.total_tokens": 9000}).issues == ()
    assert call({**COUNTED, f"{USAGE}total_tokens": float("nan")}).issues == ()
    assert call({**COUNTED, f"{USAGE}total_{'x' * 300}": 9000}).issues == ()


def test_the_sum_in_a_usage_object_shows_what_is_missing() -> None:
    """Of Google it is thoughts, also behind its interface in OpenAI's words."""
    usage = {"prompt_tokens": 5000, "completion_tokens": 100, "total_tokens": 9000}
    for attributes in (CHAT, COUNTED):
        found = call({**attributes, "foo.usage": json.dumps(usage)})
        assert found.usage.is_incomplete
        assert found.issues == ("total_mismatch: total_tokens = 9000, input and output are 5100",)
    found = call({**GEMINI, "foo.usage": json.dumps(usage)})
    assert (found.usage.quantities["output_tokens"], found.issues) == (4000, ("thoughts_from_total",))
    assert call({**CHAT, "foo.usage": json.dumps({**usage, "total_tokens": 12})}).issues == ()


def test_a_sum_over_several_calls_is_no_usage_of_one() -> None:
    """However it is written."""
    usage = json.dumps({"prompt_tokens": 5000, "completion_tokens": 100})
    assert call({**CHAT, "foo.cumulative_usage": usage}).usage.quantities == {}
    assert call({**COUNTED, "foo.aggregated_usage": usage.replace("5000", "9000")}).issues == ()


@pytest.mark.parametrize(
    ("name", "count", "is_incomplete"),
    [
        ("prompt_tokens", 9000, True),
        ("prompt_tokens", 40, False),
        ("completion_tokens", 900, True),
        ("cached_tokens", 4000, False),
    ],
)
def test_two_attributes_that_disagree_are_an_estimate(name: str, count: int, is_incomplete: bool) -> None:
    """One of them is not what was used. Those that agree, or say nothing, are one."""
    attributes = {**COUNTED, f"{USAGE}cache_read.input_tokens": 100}
    agreeing = {"prompt_tokens": 5000, "completion_tokens": 100, "cached_tokens": 100}[name]
    for _ in range(2):
        assert call({**attributes, f"{USAGE}{name}": agreeing}).issues == ()
        found = call({**attributes, f"{USAGE}{name}": count})
        assert [issue.partition(":")[0] for issue in found.issues] == ["conflicting_usage"]
        assert (found.usage.is_estimated, found.usage.is_incomplete) == (True, is_incomplete)
    assert call({**attributes, f"{USAGE}{name}": 0}).issues == ()


def test_a_usage_object_that_says_more_than_the_attributes_is_named() -> None:
    """The larger number may be what was used."""
    usage: dict[str, Any] = {"prompt_tokens": 9000, "completion_tokens": 100}
    found = call({**COUNTED, "foo.usage": json.dumps(usage)})
    assert (found.issues, found.usage.is_incomplete) == (("unread_usage: foo.usage.prompt_tokens = 9000",), True)
    cached = {"prompt_tokens": 5000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 4000}}
    found = call({**COUNTED, f"{USAGE}cache_read.input_tokens": 100, "foo.usage": json.dumps(cached)})
    assert found.issues == ("unread_usage: foo.usage.prompt_tokens_details.cached_tokens = 4000",)
    tools = {"promptTokenCount": 5000, "toolUsePromptTokenCount": 20, "candidatesTokenCount": 100}
    assert call({**COUNTED, "foo.usageMetadata": json.dumps(tools)}).usage.is_incomplete


ANTHROPIC_TODAY: dict[str, Any] = {
    "input_tokens": 50,
    "output_tokens": 120,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 300,
    "output_tokens_details": {"thinking_tokens": 40},
    "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 2},
    "service_tier": "standard",
    "inference_geo": "not_available",
    "speed": "standard",
    "iterations": [
        {"type": "message", "input_tokens": 20, "output_tokens": 100, "cache_read_input_tokens": 400},
        {"type": "message", "input_tokens": 30, "output_tokens": 20, "cache_read_input_tokens": 600},
    ],
}


def test_what_a_compaction_used_is_beside_the_input() -> None:
    """In a usage object it shows as a round that is in no sum; Anthropic's own SDK adds its rounds up."""
    rounds = [*ANTHROPIC_TODAY["iterations"], {"type": "compaction", "input_tokens": 9000, "output_tokens": 50}]
    found = call({**CLAUDE, "foo.usage": json.dumps({**ANTHROPIC_TODAY, "iterations": rounds})})
    assert found.usage.is_incomplete
    compacted = {"anthropic.usage.compaction.input_tokens": 9000, "anthropic.usage.compaction.output_tokens": 0}
    stated = {f"{USAGE}input_tokens": 50, f"{USAGE}output_tokens": 120}
    found = call({**CLAUDE, **stated, **compacted}, scope="com.anthropic.sdk.python")
    assert found.usage.quantities == {"input_tokens": 9050, "output_tokens": 120}
    assert (found.issues, found.usage.is_estimated) == (("compaction: input_tokens has 9000 of it",), True)


def test_to_count_tokens_is_free() -> None:
    """Anthropic's own span names the model that was asked, and a count."""
    counted = {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
    counted |= {"anthropic.message.count_tokens.input_tokens": 40}
    scope: Any = {"scope": "com.anthropic.sdk.python", "name": "anthropic.messages.count_tokens"}
    asked = {**COUNTED, "gen_ai.operation.name": "count_tokens"}
    for found in (facts(document(counted, **scope)), facts(document(asked))):
        assert (len(found.calls), len(found.look_alikes), len(found.links)) == (0, 0, 1)
    assert is_link(counted, **scope)


@pytest.mark.parametrize(
    ("changed", "status", "issue"),
    [
        ({"speed": "fast"}, "estimated", "unmatched_speed: no price for 'fast', priced as standard"),
        ({"inference_geo": "us"}, "estimated", "unpriced_term: inference_geo = us"),
        ({"inference_geo": "12 Main St"}, "priced", ""),
        ({"service_tier": "priority"}, "estimated", "unmatched_service_tier: no price for 'priority', priced as"),
        ({"service_tier": "batch"}, "priced", ""),
        ({}, "priced", ""),
    ],
)
def test_the_terms_in_a_usage_object_are_terms_of_the_price(
    book: PriceBook, changed: dict[str, str], status: str, issue: str
) -> None:
    """Anthropic says there at which of its prices it answered."""
    found = call({**CLAUDE, "foo.usage": json.dumps({**ANTHROPIC_TODAY, **changed})})
    quote = book.price_of_call(found.usage)
    assert quote.status == status
    assert [each for each in (*found.issues, *quote.issues) if each.startswith(issue or "u")] == [] or issue
    assert any(each.startswith(issue) for each in (*found.issues, *quote.issues)) or not issue


def test_a_faster_answer_has_its_own_price(book: PriceBook) -> None:
    """Where the list has one; the record of it is another than that of the same answer at the usual speed."""
    asked = {**CLAUDE, "gen_ai.request.model": "claude-fable-5-2"}
    usual, fast = (call({**asked, "foo.usage": {**ANTHROPIC_TODAY, "speed": speed}}) for speed in ("standard", "fast"))
    assert usual.content_hash != fast.content_hash
    amounts = [book.price_of_call(each.usage).amount_usd for each in (usual, fast)]
    assert amounts[0] is not None
    assert amounts[1] == 2 * amounts[0]


VENDORS_TODAY: list[tuple[str, str, dict[str, Any]]] = [
    ("anthropic", "claude-sonnet-4-5", ANTHROPIC_TODAY),
    (
        "openai",
        "gpt-4o-mini",
        {
            "prompt_tokens": 5000,
            "completion_tokens": 100,
            "total_tokens": 5100,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "rejected_prediction_tokens": 12},
        },
    ),
    (
        "openai",
        "gpt-realtime",
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
    ),
    (
        "gcp.gemini",
        "gemini-2.5-flash",
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 30,
            "thoughtsTokenCount": 60,
            "toolUsePromptTokenCount": 20,
            "cachedContentTokenCount": 40,
            "totalTokenCount": 210,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 60},
                {"modality": "DOCUMENT", "tokenCount": 40},
            ],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
        },
    ),
    (
        "aws.bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        {
            "inputTokens": 50,
            "outputTokens": 120,
            "totalTokens": 1470,
            "cacheReadInputTokens": 1000,
            "cacheWriteInputTokens": 300,
            "cacheDetails": [{"inputTokens": 200, "ttl": "5m"}, {"inputTokens": 100, "ttl": "1h"}],
        },
    ),
    ("deepseek", "deepseek-chat", {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_miss_tokens": 36}),
    ("groq", "llama-3.3-70b-versatile", {"prompt_tokens": 100, "completion_tokens": 20, "queue_time": 0.02}),
    ("mistral_ai", "mistral-large-latest", {"prompt_tokens": 100, "completion_tokens": 20, "num_cached_tokens": 30}),
]


@pytest.mark.parametrize(("provider", "model", "usage"), VENDORS_TODAY, ids=lambda each: each if str(each) else "")
def test_what_vendors_state_today_raises_no_alarm(
    book: PriceBook, provider: str, model: str, usage: dict[str, Any]
) -> None:
    """Whole, as JSON, as a map and as a repr."""
    for written in (json.dumps(usage), usage, repr(usage)):
        found = call({**CHAT, "gen_ai.provider.name": provider, "gen_ai.request.model": model, "foo.usage": written})
        assert (found.issues, book.price_of_call(found.usage).status) == ((), "priced")


def test_a_list_of_a_usage_object_is_whole_after_a_dead_letter() -> None:
    """Bedrock's times to live, which have two prices, and Google's modalities."""
    for provider, model, usage in VENDORS_TODAY[3:5]:
        sent = {**CHAT, "gen_ai.provider.name": provider, "gen_ai.request.model": model, "foo.usage": usage}
        (each,) = request(document(sent))
        scope_spans = each.scope_spans[0]
        kept = wire.parse_request(strip_content(scope_spans.spans[0], scope_spans.scope, each.resource)).resource_spans
        (replayed,) = read_request(
            kept, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True
        ).calls
        assert replayed == call(sent)
        assert len(replayed.usage.quantities) >= 4


def test_the_conventions_of_today_raise_no_alarm(book: PriceBook) -> None:
    """Every attribute of the GenAI registry that counts something, on one span, and what stands beside them."""
    parts = {"text.input": 3000, "image.input": 1500, "audio.input": 400, "video.input": 100, "cache_read.input": 900}
    parts |= {"text.cache_read.input": 500, "image.cache_read.input": 300, "audio.cache_read.input": 100}
    parts |= {"text.output": 60, "reasoning.output": 40}
    beside = {"gen_ai.embeddings.dimension.count": 256, "gen_ai.request.choice.count": 2, "gen_ai.token.type": "input"}
    beside |= {"openai.request.prompt_cache_retention": "24h", "gen_ai.request.video_resolution": "1080p"}
    beside |= {"gen_ai.request.image_detail": 1, "gen_ai.prompt_cache.breakpoints": 2}
    attributes = {**GEMINI, f"{USAGE}input_tokens": 5000, f"{USAGE}output_tokens": 100, **beside}
    found = call({**attributes, **{f"{USAGE}{name}_tokens": count for name, count in parts.items()}})
    assert (found.issues, book.price_of_call(found.usage).status) == ((), "priced")
    assert found.usage.quantities["cache_image_read_tokens"] == 300
    assert found.usage.quantities["cache_audio_read_tokens"] == 100


@pytest.mark.parametrize(
    "attributes",
    [
        {"parser.tokens": 55},
        {"auth.token_count": 3},
        {"db.redis.cache_hits": 4},
        {"image.width": 5},
        {"csrf_token": "12"},
        {"rate_limiter.tokens": 5},
        {"video.duration": 12},
        {"search.query.count": 3},
        {"model": "Volvo", "provider": "ford"},
        {"usage": "80%"},
        {"memory.usage": 12345},
        {"disk.usage": '{"input": 5}'},
        {"cpu.usage": {"user": 5}},
        {"response.metadata": '{"tokens": 3}'},
    ],
    ids=str,
)
def test_other_spans_are_no_calls(attributes: dict[str, Any]) -> None:
    """A lexer's tokens, a limiter's, a machine's usage: nothing of a model."""
    for kind in (1, 3):
        found = facts(document(attributes, kind=kind))
        assert (len(found.calls), len(found.look_alikes), len(found.links)) == (0, 0, 1)


def test_a_list_too_deep_to_be_of_usage_is_dropped_from_a_dead_letter() -> None:
    """What is read is as deep as what is kept."""
    deep: Any = [{"cached_foo_tokens": 1}]
    for depth in range(1, 8):
        deep = {"a": deep}
        (each,) = request(document({**COUNTED, "foo.usage": json.dumps(deep)}))
        stripped = strip_content(each.scope_spans[0].spans[0])
        is_kept = b"cached_foo" in stripped
        assert call({**COUNTED, "foo.usage": json.dumps(deep)}).issues
        assert is_kept or b"members_left_out" in stripped
        assert is_kept is (depth < 7)


def test_a_total_of_nothing_beside_characters_says_nothing() -> None:
    """An emitter that knows no tokens of speech writes 0 for them."""
    spoken = {"gen_ai.operation.name": "text_to_speech", f"{USAGE}characters": 42, f"{USAGE}output_tokens": 0}
    assert call({**CHAT, **spoken}).usage.quantities == {"characters": 42}
