"""The tables: scopes, aliases, collisions."""

import pytest

from cost_exporter.collisions.collisions import installed_collisions, seen_collisions
from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import QUANTITIES
from cost_exporter.domain.span import EmitterRank
from cost_exporter.read.vocabulary import scopes
from cost_exporter.read.vocabulary.aliases import ATTRIBUTION_KEYS, QUANTITY_ALIASES, TEXT_KEYS
from cost_exporter.read.vocabulary.scopes import ScopeRule, scope_rule


def test_every_quantity_can_be_said() -> None:
    """Each has a row, each row has names, and no name says two things."""
    assert {alias.quantity for alias in QUANTITY_ALIASES} == QUANTITIES
    keys = [key for alias in QUANTITY_ALIASES for key in alias.keys]
    assert len(keys) == len(set(keys))
    assert tuple(ATTRIBUTION_KEYS) == Attribution._fields
    texts = [key for keys in TEXT_KEYS.values() for key in keys]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(
    ("scope", "emitter_rank"),
    [
        ("com.anthropic.sdk.python", EmitterRank.NATIVE),
        ("opentelemetry.instrumentation.genai.openai", EmitterRank.GENAI),
        ("opentelemetry.instrumentation.genai.langchain", EmitterRank.FRAMEWORK),
        ("opentelemetry.util.genai.handler", EmitterRank.GENAI),
        ("opentelemetry.instrumentation.openai_v2", EmitterRank.GENAI),
        ("openinference.instrumentation.openai", EmitterRank.OPENINFERENCE),
        ("openinference.instrumentation.langchain", EmitterRank.FRAMEWORK),
        ("opentelemetry.instrumentation.openai.v1", EmitterRank.TRACELOOP),
        ("opentelemetry.instrumentation.langchain", EmitterRank.FRAMEWORK),
        ("openlit.instrumentation.openai", EmitterRank.PLAIN),
        ("litellm", EmitterRank.FRAMEWORK),
        ("pipecat", EmitterRank.FRAMEWORK),
        ("livekit-agents", EmitterRank.FRAMEWORK),
        ("ai", EmitterRank.FRAMEWORK),
        ("callfare.instrumentation.elevenlabs", EmitterRank.GENAI),
        ("callfare.instrumentation.pipecat", EmitterRank.PLAIN),
        ("my.app", EmitterRank.PLAIN),
    ],
)
def test_emitter_rank_goes_by_scope(scope: str, emitter_rank: EmitterRank) -> None:
    """Native above genai above OpenInference above Traceloop above frameworks."""
    assert scope_rule(scope, "").emitter_rank is emitter_rank


def test_rules_may_be_for_a_range_of_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open, by number; a version that cannot be read is the newest."""
    rule = ScopeRule(scope="x*", since="1.9", before="1.10.1", has_own_ids=True)
    monkeypatch.setattr(scopes, "SCOPE_RULES", (rule,))
    read = scope_rule.__wrapped__
    versions = ["1.8", "1.9", "1.10", "1.10.1", "2.0b1", "", "dev"]
    assert [read("xyz", version).has_own_ids for version in versions] == [False, True, True, False, False, False, False]
    assert not read("y", "1.9").has_own_ids


def test_two_openai_instrumentations_collide() -> None:
    """Switching off by name would switch off both, so one has to go."""
    (found,) = installed_collisions(
        {"opentelemetry_instrumentation_openai": "0.62.4", "opentelemetry-instrumentation-genai-openai": "1.3b0"}
    )
    assert len(found.names) == 2
    assert "pip uninstall opentelemetry-instrumentation-openai" in found.fix
    assert not found.is_broken
    assert installed_collisions({"opentelemetry-instrumentation-openai": "0.62.4"}) == []


def test_the_anthropic_sdk_traces_by_itself() -> None:
    """From version 2 on; its own spans say more than the others, and there is a switch for either side."""
    beside = {"opentelemetry-instrumentation-anthropic": "0.62.4"}
    (found,) = installed_collisions({"anthropic": "2.12.0", **beside})
    assert found.fix.startswith("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=anthropic keeps the SDK's own")
    assert "ANTHROPIC_OPEN_TELEMETRY=false" in found.fix
    assert installed_collisions({"anthropic": "0.125.0", **beside}) == []
    assert installed_collisions({"anthropic": "?", **beside}) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"ANTHROPIC_OPEN_TELEMETRY": "false"},
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis, anthropic"},
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"},
    ],
)
def test_what_is_turned_off_does_not_collide(environment: dict[str, str]) -> None:
    """Who follows the advice hears no more of it; `off` turns nothing off."""
    both = {"anthropic": "2.12.0", "opentelemetry-instrumentation-anthropic": "0.62.4"}
    assert installed_collisions(both, environment) == []
    assert len(installed_collisions(both, {"ANTHROPIC_OPEN_TELEMETRY": "off"})) == 1


def test_names_are_read_in_a_row() -> None:
    """Two are joined by a word, more by commas before it."""
    scopes = ["opentelemetry.instrumentation.openai.v1", "logfire.openai", "openlit.instrumentation.openai"]
    (two,), (three,) = seen_collisions(scopes[:2]), seen_collisions(scopes)
    assert two.who == "Traceloop's OpenAI instrumentation and Logfire"
    assert three.who == "Traceloop's OpenAI instrumentation, OpenLIT and Logfire"


@pytest.mark.parametrize("vendor", ["anthropic", "langchain"])
def test_no_switch_is_named_that_turns_off_both(vendor: str) -> None:
    """All packages for a library have one entry-point name: turned off by it, its calls would be lost."""
    packages = [f"opentelemetry-instrumentation-{vendor}", f"openinference-instrumentation-{vendor}"]
    (found,) = installed_collisions(dict.fromkeys(packages, "1.0"))
    assert found.fix.startswith(f"pip uninstall {packages[0]} ")


def test_our_own_observer_is_turned_off_by_its_own_name() -> None:
    """The name of OpenInference's instrumentor would turn off that one."""
    (found,) = seen_collisions(["openinference.instrumentation.pipecat", "callfare.instrumentation.pipecat"])
    # The variable does nothing where the program turned it on by itself.
    wanted = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=pipecat, or leave OpenInference's PipecatInstrumentor out"
    assert found.fix == wanted
    (found,) = seen_collisions(["pipecat", "callfare.instrumentation.pipecat"])
    assert found.fix == "PipelineTask(enable_tracing=False)"


def test_openai_v2_is_broken_with_newer_util_genai() -> None:
    """It fails to import, is skipped at debug level, and no span says so."""
    together = {"opentelemetry-instrumentation-openai-v2": "2.4b0", "opentelemetry-util-genai": "1.3b0"}
    (found,) = installed_collisions(together)
    assert found.is_broken
    assert "opentelemetry-util-genai<1.2" in found.fix
    assert installed_collisions({**together, "opentelemetry-util-genai": "1.1b0"}) == []


def test_google_genai_is_not_instrumented_from_3_on() -> None:
    """OpenTelemetry's instrumentation asks for less, and leaves anything newer alone."""
    together = {"opentelemetry-instrumentation-google-genai": "1.3b0", "google-genai": "3.6.1"}
    (found,) = installed_collisions(together)
    assert found.is_broken
    assert "google-genai<3" in found.fix
    assert installed_collisions({**together, "google-genai": "2.34.0"}) == []


def test_instrumentations_of_bedrock_collide() -> None:
    """Traceloop's goes by the name boto3, and OpenTelemetry's traces all of AWS: only its Bedrock spans count."""
    (found,) = installed_collisions(
        {"opentelemetry-instrumentation-bedrock": "0.62.4", "opentelemetry-instrumentation-botocore": "0.66b2"}
    )
    assert (found.vendor, found.fix) == ("bedrock", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=boto3")
    seen = ["openinference.instrumentation.bedrock", "opentelemetry.instrumentation.botocore.dynamodb"]
    assert seen_collisions(seen) == []
    assert seen_collisions([*seen, "opentelemetry.instrumentation.botocore.bedrock-runtime"])


def test_what_is_only_turned_on_in_code_collides_when_seen() -> None:
    """Installed, OpenLIT and Logfire mean nothing; in the spans they do."""
    assert installed_collisions({"openlit": "1.45.0", "opentelemetry-instrumentation-openai": "0.62.4"}) == []
    (found,) = seen_collisions(["openlit.instrumentation.openai", "opentelemetry.instrumentation.openai.v1", "app"])
    assert found.vendor == "openai"
    assert seen_collisions(["app", "pipecat"]) == []


@pytest.mark.parametrize(
    ("framework", "vendor", "fix"),
    [
        (
            "openinference.instrumentation.langchain",
            "openinference.instrumentation.openai",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=langchain",
        ),
        ("pydantic-ai", "logfire.openai", "leave out logfire.instrument_pydantic_ai() or Agent(instrument=True)"),
        ("pipecat", "opentelemetry.instrumentation.openai.v1", "PipelineTask(enable_tracing=False)"),
        ("litellm", "com.anthropic.sdk.python", "leave 'otel' out of litellm.callbacks"),
    ],
)
def test_a_framework_collides_with_the_vendors_it_calls(framework: str, vendor: str, fix: str) -> None:
    """Each call is told by both: once above, once below."""
    (found,) = seen_collisions([framework, vendor])
    assert found.fix == fix
    assert len(found.names) == len((framework, vendor))


def test_instrumentations_of_one_make_may_keep_quiet_together() -> None:
    """OpenTelemetry's own for LangChain suppress the vendor's below; ours leave billing to it."""
    assert seen_collisions([f"opentelemetry.instrumentation.genai.{each}" for each in ("langchain", "openai")]) == []
    assert seen_collisions(["callfare.instrumentation.pipecat", "opentelemetry.instrumentation.openai.v1"]) == []


def test_a_bundle_of_instrumentations_is_no_framework() -> None:
    """Installed for LangChain, which is not there: it wakes up only beside it."""
    bundle = dict.fromkeys(
        ["openai", "openinference-instrumentation-langchain", "openinference-instrumentation-openai"], "1.0"
    )
    assert installed_collisions(bundle) == []
    (found,) = installed_collisions({**bundle, "langchain-core": "1.0"})
    assert (found.vendor, len(found.names)) == ("langchain", 2)


def test_openai_v2_is_seen_under_the_scope_of_util_genai() -> None:
    """Only its embeddings have a scope of its own."""
    (found,) = seen_collisions(["opentelemetry.util.genai.handler", "openinference.instrumentation.openai"])
    assert "pip uninstall opentelemetry-instrumentation-openai-v2" in found.fix
