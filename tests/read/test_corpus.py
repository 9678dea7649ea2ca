"""Every recorded span is read as its provider's truth says, as far as that is on the wire."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call
from cost_exporter.read.request import read_request
from tests.fixtures import otlp_json
from tests.read.otlp_spans import RECEIVED_AT_UNIX_NS

RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded")
FOREIGN = otlp_json.recorded_files("foreign")
"""What came out wrong once, of other clients, test suites, gateways and bug reports."""
OWN_TRACES = {"traceloop-sdk", "litellm", "litellm-1-110", "openinference-pipecat"}
"""Their spans are not in the traces of the cases."""
EMITTERS = [path for path in RECORDED if path.parent.name != "voice" and path.stem not in OWN_TRACES]
FACTS = Path(__file__).parent / "facts"
TRUTH = otlp_json.truth()
QUANTITY_BY_TRUTH = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "audio_input": "input_audio_tokens",
    "audio_output": "output_audio_tokens",
    "image_output": "output_image_tokens",
    "read_units": "read_units",
    "audio_seconds_billed": "audio_seconds",
    "characters": "characters",
}
PARTS_LOST_BY_EMITTER = {
    # What an emitter never puts on a span cannot be read from it.
    "openai-v2": {"cache_read", "reasoning", "audio_input", "audio_output"},
    "openai-v2-experimental": {"cache_read", "reasoning", "audio_input", "audio_output"},
    "traceloop-openai": {"audio_input", "audio_output"},
    "traceloop-anthropic": {"cache_write_5m", "cache_write_1h"},
    "traceloop-anthropic_native-off": {"cache_write_5m", "cache_write_1h"},
    "traceloop-langchain_openai": {"reasoning"},
    "genai-anthropic": {"cache_write_5m", "cache_write_1h"},
    "vercel-ai-7": {"reasoning"},
    "pydantic-ai": {"cache_write_5m"},
    "openlit": {"cache_write_5m", "cache_write_1h"},
    "langwatch": {"cache_read"},
    "openinference-agents": {"cache_read"},
    "openinference-bedrock": {"cache_write_5m", "cache_write_1h"},
    "traceloop-bedrock": {"cache_write_5m", "cache_write_1h"},
    "botocore": {"cache_read", "cache_write", "cache_write_5m", "cache_write_1h"},
    "traceloop-google": {"reasoning"},
    "traceloop-js-openai": {"cache_read", "reasoning"},
    "openinference-smolagents": {"cache_read", "reasoning"},
    "claude-code": {"cache_write_5m", "cache_write_1h"},
    "mastra": {"cache_write_5m", "cache_write_1h"},
    "spring-ai": {"cache_read", "cache_write", "cache_write_5m", "cache_write_1h"},  # of streams
    "openinference-agno": {"reasoning", "cache_write_5m", "cache_write_1h"},
}
MISCOUNTED = {
    # Nothing on the span says that this is not what the provider counted.
    ("botocore", "bedrock_invoke", "input"): 50,
    ("spring-ai", "messages_stream", "input"): 50,
}
GUESSED = {("openlit", "chat_stream_nousage"), ("openlit", "audio_transcription_gpt4o")}
"""Numbers that are the emitter's guess, or ours: not the provider's, and marked so."""
_OVERCOUNTED = {
    (f"traceloop-anthropic{release}", f"messages_{case}")
    for release in ("", "_native-off")
    for case in ("stream", "async_stream", "stream_helper")
}
_WITHOUT_CACHED = {
    ("langwatch", "chat_nonstream"),
    ("langwatch", "chat_by_hand"),
    *(("openinference-smolagents", case) for case in ("chat_nonstream", "chat_stream_usage", "chat_agent")),
}
"""Long inputs of emitters that never say what of them was cached."""
ESTIMATED = (
    GUESSED
    | _OVERCOUNTED
    | _WITHOUT_CACHED
    | {("traceloop-google", "gemini_nonstream"), ("traceloop-google", "gemini_stream")}
)
NAMELESS = {"openlit": {"messages_error_429"}}
"""A failed call whose span has no attribute at all: nothing tells it from any other span."""
UNREPORTED_REFUSALS = {(name, "chat_error_429") for name in ("langsmith", "mastra", "openinference-agno")}
"""Errors of which the span has no kind: LangSmith's and Mastra's are fine, agno's is any error of a provider."""
OUTPUT_OFF_BY_ONE = {"messages_stream", "messages_stream_helper", "messages_async_stream"}
"""Traceloop sums the 1 of the start and the 120 of the end of an Anthropic stream."""


CALLS_WITHOUT_DATA = 44


def cases(path: Path) -> dict[bytes, str]:
    """Return the name of the case behind each trace: its root span says it."""
    return {
        span.trace_id: span.name.removeprefix("case:")
        for each in otlp_json.resource_spans([path])
        for scope_spans in each.scope_spans
        for span in scope_spans.spans
        if span.name.startswith("case:")
    }


def traces_of_emitter(path: Path) -> set[bytes]:
    """Return the traces in which the emitter made any span."""
    return {
        span.trace_id
        for each in otlp_json.resource_spans([path])
        for scope_spans in each.scope_spans
        for span in scope_spans.spans
        if not span.name.startswith("case:")
    }


def truth_of(case: str) -> dict[str, Any]:
    """Return what the provider reported for a case, as truth.json and its README say; {} where they say nothing."""
    if case in TRUTH:
        return TRUTH[case]
    families = {"messages": "messages", "responses": "responses", "lc_responses": "responses"}
    families |= {"embeddings": "embeddings", "lc_embeddings": "embeddings", "chat": "chat", "lc_": "chat"}
    families |= {"gemini": "gemini", "bedrock": "messages"}
    return next((TRUTH[family] for prefix, family in families.items() if case.startswith(prefix)), {})


def calls(path: Path) -> list[Call]:
    found = read(path)
    assert not found.dead_letters
    return list(found.calls)


def read(path: Path) -> Facts:
    """Return the facts of a file as if it came when its last span had ended."""
    resource_spans = otlp_json.resource_spans([path])
    ends = [
        span.end_time_unix_nano
        for each in resource_spans
        for scope_spans in each.scope_spans
        for span in scope_spans.spans
    ]
    received_at_unix_ns = max(RECEIVED_AT_UNIX_NS, *ends)
    return read_request(
        resource_spans,
        namespace="default",
        received_at_unix_ns=received_at_unix_ns,
        tenant_is_trusted=True,
        streamed_spans=otlp_json.streamed(path),
    )


@pytest.mark.parametrize("path", EMITTERS, ids=lambda path: path.stem)
def test_usage_on_the_wire_is_the_providers_own(path: Path) -> None:
    """Every quantity read equals the provider's figure; only what the emitter lost is missing."""
    case_by_trace = cases(path)
    for call in calls(path):
        case = case_by_trace[call.trace_id]
        if not call.usage.quantities or case == "messages_stream_abandoned" or (path.stem, case) in GUESSED:
            continue
        lost = set() if call.scope.startswith("com.anthropic.sdk") else PARTS_LOST_BY_EMITTER.get(path.stem, set())
        if call.usage.mode == "stream" and call.scope.startswith("opentelemetry.instrumentation.openai"):
            lost = lost | {"reasoning"}
        for name, quantity in QUANTITY_BY_TRUTH.items():
            number = call.usage.quantities.get(quantity, 0)
            expected = truth_of(case).get(name)
            if expected is None or (name in lost and not number):
                continue
            if (
                name == "output"
                and call.scope == "opentelemetry.instrumentation.anthropic"
                and case in OUTPUT_OFF_BY_ONE
            ):
                expected = expected + 1
            expected = MISCOUNTED.get((path.stem, case, name), expected)
            assert number == expected, (case, quantity, call.scope)


def calls_without_data() -> list[Any]:
    """Each call of the corpus of which its provider sent no usage, with whether somebody guessed one."""
    found: list[Any] = []
    for path in EMITTERS:
        case_by_trace = cases(path)
        for call in calls(path):
            case = case_by_trace[call.trace_id]
            if case in TRUTH["unpriced_by_provider"]:
                number = len(found)
                found.append(pytest.param(call, (path.stem, case) in GUESSED, id=f"{number}-{path.stem}-{case}"))
    return found


@pytest.mark.parametrize(("call", "is_guessed"), calls_without_data())
def test_a_call_without_data_is_kept_without_quantities(call: Call, is_guessed: bool) -> None:
    """Where the provider sent no usage, the call is a call with no quantity at all, never with zeros."""
    assert not call.usage.is_refused
    assert bool(call.usage.quantities) == is_guessed


def test_the_corpus_has_calls_without_data() -> None:
    """Of emitters of every kind, guessed and not: else the test above could not fail."""
    assert len(calls_without_data()) == CALLS_WITHOUT_DATA


@pytest.mark.parametrize("path", EMITTERS, ids=lambda path: path.stem)
def test_what_is_guessed_is_marked(path: Path) -> None:
    """Numbers that no provider sent are estimates, and nothing else is."""
    case_by_trace = cases(path)
    for call in calls(path):
        is_native = call.scope.startswith("com.anthropic.sdk")  # the vendor's SDK itself, beside Traceloop
        is_guess = (path.stem, case_by_trace[call.trace_id]) in ESTIMATED and not is_native
        assert call.usage.is_estimated == is_guess


@pytest.mark.parametrize("path", EMITTERS, ids=lambda path: path.stem)
def test_only_refused_calls_are_free(path: Path) -> None:
    """Refusals are told from failures that may have been billed, whatever the emitter calls them."""
    case_by_trace = cases(path)
    refusals = {case for case in TRUTH["not_billed_errors"] if "unknown" not in case}
    for call in calls(path):
        case = case_by_trace[call.trace_id]
        is_reported = (path.stem, case) not in UNREPORTED_REFUSALS
        assert call.usage.is_refused == (case in refusals and is_reported), (case, call.error_type)


@pytest.mark.parametrize("path", EMITTERS, ids=lambda path: path.stem)
def test_no_case_is_silently_dropped(path: Path) -> None:
    """Every case whose span the emitter made has a call; the rest the emitter does not trace at all."""
    case_by_trace, found = cases(path), read(path)
    kept = {call.trace_id for call in (*found.calls, *found.look_alikes)}
    missing = {case_by_trace[trace_id] for trace_id in traces_of_emitter(path) - kept}
    assert missing == NAMELESS.get(path.stem, set())


@pytest.mark.parametrize("path", [*RECORDED, *FOREIGN], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_whole_facts_are_as_recorded(path: Path) -> None:
    """The facts of each file, every field of them, are those that a person has looked at.

    After a change that is meant to change them: delete the file in `facts/`, run this test, read the difference.
    """
    found = read(path)
    expected = FACTS / f"{path.parent.name}-{path.stem}.txt"
    text = "\n".join(sorted(shown(fact) for fact in (*found.calls, *found.links))) + "\n"
    if not expected.exists():
        expected.write_text(text, encoding="utf-8")
        pytest.fail(f"wrote {expected.name}: read it, then commit it")
    assert text == expected.read_text(encoding="utf-8")


def shown(fact: Any) -> str:
    """Return every field of a fact that is not its default, readable; the hash of it all has its own tests."""
    if isinstance(fact, bytes):
        return fact.hex()
    if isinstance(fact, Attribution):
        return str({name: word for name, word in fact._asdict().items() if word is not None})
    if not dataclasses.is_dataclass(fact):
        return repr(fact)
    parts = [
        f"{field.name}={shown(getattr(fact, field.name))}"
        for field in dataclasses.fields(fact)
        if field.name != "content_hash" and getattr(fact, field.name) != field.default
    ]
    return f"{type(fact).__name__}({', '.join(parts)})"


def test_voice_of_pipecat_is_what_its_spans_say() -> None:
    """127 characters, 1.0 of 3.2 s of STT (the rest is on no span), and three LLM calls."""
    (path,) = [path for path in RECORDED if path.stem.startswith("pipecat-native-1")]
    found = calls(path)
    assert sum(call.usage.quantities.get("characters", 0) for call in found) == 16 + 3 * 37
    assert Counter(call.usage.operation for call in found) == {"text_to_speech": 4, "speech_to_text": 1, "chat": 3}
    assert {call.usage.provider for call in found} == {"elevenlabs", "deepgram", "openai"}


def test_spoken_text_of_livekit_is_counted_though_cancelled() -> None:
    """Characters come from the JSON metrics; a cancelled utterance is billed as sent."""
    (path,) = [path for path in RECORDED if path.stem.startswith("livekit")]
    spoken = [call.usage.quantities["characters"] for call in calls(path) if call.usage.operation == "text_to_speech"]
    assert sorted(spoken) == [12, 36]


def test_voice_of_pipecat_under_openinference_has_models_and_all_text() -> None:
    """The model is where only the metrics name it; the text is counted where the last metric is one of two."""
    (path,) = [path for path in RECORDED if path.stem == "openinference-pipecat"]
    found = {call.usage.operation: call.usage for call in calls(path)}
    assert {usage.model for usage in found.values()} == {"gpt-4o-mini", "gpt-4o-mini-tts"}
    assert found["chat"].quantities == {"input_tokens": 1200, "output_tokens": 345, "cache_read_tokens": 1024}
    spoken = [call.usage.quantities["characters"] for call in calls(path) if call.usage.operation == "text_to_speech"]
    assert sorted(spoken) == [len("Hello world!"), len("Your order has shipped. It comes Monday.")]


def test_what_litellm_counts_itself_is_marked() -> None:
    """Of a stream without usage, 11 tokens for 1,545; the one whose usage came is a count."""
    (path,) = [path for path in RECORDED if path.stem == "litellm-1-110"]
    streams = [call.usage for call in calls(path) if call.usage.mode == "stream"]
    assert {usage.quantities["input_tokens"]: usage.is_estimated for usage in streams} == {8: True, 1200: False}
    assert sum(call.usage.is_estimated for call in calls(path)) == 1
