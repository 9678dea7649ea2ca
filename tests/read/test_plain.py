"""Plain calls, read the short way: nothing in the facts tells by which way a span was read."""

from collections.abc import Callable
from typing import Any

import pytest

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call
from cost_exporter.read import layout, request
from cost_exporter.read.request import read_request
from tests.fixtures import otlp_json
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, STARTED_AT_UNIX_NS, document, facts

ANSWERED: dict[str, Any] = {
    **CHAT,
    "gen_ai.response.id": "r1",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 5,
}
CACHED = {**ANSWERED, "gen_ai.usage.cache_read.input_tokens": 100}
ACCOUNT = {"callfare.tenant.id": "acme", "callfare.category": "it's"}
WRITE_5M = "anthropic.usage.cache_creation.ephemeral_5m_input_tokens"
RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded")


@pytest.fixture(autouse=True)
def patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from other tests."""
    monkeypatch.setattr(layout, "_scopes", {})


@pytest.fixture
def shortcuts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the short way led anywhere, each time it was tried."""
    taken: list[bool] = []
    read_from_template: Callable[..., Call | None] = request.read_from_template

    def watched(*given: Any) -> Call | None:
        call = read_from_template(*given)
        taken.append(call is not None)
        return call

    monkeypatch.setattr(request, "read_from_template", watched)
    return taken


def closed(*_: object) -> None:
    """The short way that leads nowhere."""


def both_ways(monkeypatch: pytest.MonkeyPatch, *documents: dict[str, Any], **options: Any) -> tuple[Facts, Facts]:
    """Read the documents, and again with the short way closed."""
    short = facts(*documents, **options)
    with monkeypatch.context() as patch:
        patch.setattr(request, "read_from_template", closed)
        return short, facts(*documents, **options)


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        (ANSWERED, {}),
        ({**ANSWERED, "gen_ai.response.id": "r2", "gen_ai.usage.input_tokens": 7}, {"spanId": "aa" * 8}),
        (ANSWERED, {"startTimeUnixNano": str(STARTED_AT_UNIX_NS + 1), "parentSpanId": ""}),
        (ANSWERED, {"status": {"code": 1}, "traceId": "bb" * 16}),
        (ANSWERED, {"resource": {"service.name": "other", **ACCOUNT}}),
        ({**ANSWERED, **ACCOUNT}, {}),
        ({**ANSWERED, **ACCOUNT, "callfare.category": ""}, {}),
        (CHAT | {"gen_ai.usage.input_tokens": 3}, {}),
        (CHAT | {"gen_ai.operation.name": "text_to_speech", "callfare.usage.characters": 3}, {}),
        (CACHED, {}),
        ({**CACHED, "gen_ai.usage.cache_read.input_tokens": 0}, {}),
        ({**ANSWERED, WRITE_5M: 6}, {}),
    ],
)
def test_a_plain_call_is_a_copy_of_one_like_it(
    attributes: dict[str, Any], span: dict[str, Any], shortcuts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of it is as the long way has it, the hash too."""
    plain = {**attributes, **dict.fromkeys(attributes.keys() & {"gen_ai.usage.cache_read.input_tokens"}, 4)}
    facts(document({**plain, **dict.fromkeys(plain.keys() & ACCOUNT.keys(), "first")}))
    assert not shortcuts
    short, long = both_ways(monkeypatch, document(attributes, **span))
    assert short == long
    assert shortcuts == [True]


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        (ANSWERED, {"status": {"code": 2}}),
        (ANSWERED, {"startTimeUnixNano": "5"}),
        (ANSWERED, {"startTimeUnixNano": str(RECEIVED_AT_UNIX_NS + 10**12)}),
        (ANSWERED, {"endTimeUnixNano": "0"}),
        (ANSWERED, {"endTimeUnixNano": str(RECEIVED_AT_UNIX_NS + 10**12)}),
        ({**ANSWERED, "gen_ai.usage.input_tokens": "12"}, {}),
        ({**ANSWERED, "gen_ai.usage.input_tokens": 0}, {}),
        ({**ANSWERED, "gen_ai.usage.input_tokens": 10**15}, {}),
        ({**CACHED, "gen_ai.usage.cache_read.input_tokens": -1}, {}),
        ({**CACHED, "gen_ai.usage.cache_read.input_tokens": ""}, {}),
        ({**CACHED, "gen_ai.usage.cache_read.input_tokens": "0"}, {}),
        ({**ANSWERED, "gen_ai.response.id": 12}, {}),
        ({**ANSWERED, "gen_ai.response.id": "r" * 200}, {}),
        ({**ANSWERED, "gen_ai.response.id": "r\n1"}, {}),
    ],
)
def test_what_is_not_plain_goes_the_long_way(
    attributes: dict[str, Any], span: dict[str, Any], shortcuts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed calls, implausible times, numbers and ids that need a closer look."""
    facts(document(CACHED if "gen_ai.usage.cache_read.input_tokens" in attributes else ANSWERED))
    short, long = both_ways(monkeypatch, document(attributes, **span))
    assert short == long
    assert shortcuts == [False]


def test_an_input_net_of_the_cache_goes_the_long_way(shortcuts: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Claude's spans some state the whole input and some do not."""
    claude = {**CACHED, "gen_ai.request.model": "claude-sonnet-4-5"}
    facts(document(claude))
    short, long = both_ways(monkeypatch, document({**claude, "gen_ai.usage.input_tokens": 10}))
    assert short == long
    assert short.calls[0].issues == ("exclusive_input",)
    assert shortcuts == [False]


def test_a_call_that_used_nothing_but_zeros_goes_the_long_way(
    shortcuts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros for unknown are told from parts that are zero."""
    cache_alone = {**CHAT, "gen_ai.usage.cache_read.input_tokens": 5}
    facts(document(cache_alone))
    short, long = both_ways(monkeypatch, document({**cache_alone, "gen_ai.usage.cache_read.input_tokens": 0}))
    assert short == long
    assert shortcuts == [False]


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        ({**ANSWERED, "error.type": "openai.APIError"}, {}),
        ({**ANSWERED, "gen_ai.usage.cost": 0.5}, {}),
        ({**ANSWERED, "gen_ai.operation.name": "phone_call"}, {}),
        ({"gen_ai.usage.input_tokens": 5}, {}),
        (ANSWERED, {"status": {"code": 2}}),
        (ANSWERED, {"scope": "litellm"}),
        (ANSWERED, {"scope": "callfare"}),
    ],
)
def test_only_a_plain_call_is_a_pattern(
    attributes: dict[str, Any], span: dict[str, Any], shortcuts: list[bool]
) -> None:
    """Not one that failed, was guessed, tells of money, or whose dialect has a say in every span."""
    for _ in range(2):
        facts(document(attributes, **span))
    assert not shortcuts


@pytest.mark.parametrize(
    ("first", "second", "scope"),
    [
        ({"http.response.status_code": 200}, {"http.response.status_code": 429}, "some.scope"),
        ({"error.type": ""}, {"error.type": "openai.RateLimitError"}, "some.scope"),
        ({"gen_ai.usage.cache_read.input_tokens": 0}, {"gen_ai.usage.cache_read.input_tokens": 9}, "openlit"),
    ],
)
def test_a_good_call_is_no_pattern_where_the_next_may_differ_in_more(
    first: dict[str, Any], second: dict[str, Any], scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In how it ended, or in what its input means: Claude's is stated net of the cache by OpenLIT."""
    claude = {**ANSWERED, "gen_ai.provider.name": "anthropic"}
    plain = facts(document({**claude, **first}, scope=scope)).calls[0]
    short, long = both_ways(monkeypatch, document({**claude, **second}, scope=scope))
    assert short == long
    assert short.calls[0].usage != plain.usage


def test_the_name_of_a_span_may_tell_its_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the dialect looks at more than words, no call is a pattern."""
    attributes = {**ANSWERED, "gen_ai.operation.name": "embeddings"}
    facts(document(attributes, scope="livekit-agents", name="a request"))
    short, long = both_ways(monkeypatch, document(attributes, scope="livekit-agents", name="llm_request"))
    assert short == long
    assert short.calls[0].usage.operation == "chat"


def test_an_id_of_the_emitters_own_is_marked_the_second_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM makes ids up, whatever the rest of its scope is called."""
    attributes = {**ANSWERED, "gen_ai.provider.name": "groq"}
    facts(document(attributes, scope="litellm.x"))
    short, long = both_ways(monkeypatch, document(attributes, scope="litellm.x"))
    assert short == long
    assert short.calls[0].has_gateway_id


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_whole_corpus_reads_the_same_both_ways(
    *, is_trusted: bool, shortcuts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans of every emitter, each file for the second time, so that there are patterns."""
    options: dict[str, Any] = {
        "namespace": "default",
        "received_at_unix_ns": RECEIVED_AT_UNIX_NS,
        "tenant_is_trusted": is_trusted,
    }
    spans = otlp_json.resource_spans(RECORDED)
    read_request(spans, **options)
    short = read_request(spans, **options)
    monkeypatch.setattr(request, "read_from_template", closed)
    assert short == read_request(spans, **options)
    assert any(shortcuts)
