"""The tables: scopes, aliases, collisions."""

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import QUANTITIES
from cost_exporter.domain.span import Detail
from cost_exporter.read import scopes
from cost_exporter.read.aliases import ATTRIBUTION_KEYS, QUANTITY_ALIASES, TEXT_KEYS
from cost_exporter.read.collisions import installed_collisions, seen_collisions
from cost_exporter.read.scopes import ScopeRule, scope_rule


def test_every_quantity_can_be_said() -> None:
    """Each has a row, each row has names, and no name says two things."""
    assert {alias.quantity for alias in QUANTITY_ALIASES} == QUANTITIES
    keys = [key for alias in QUANTITY_ALIASES for key in alias.keys]
    assert len(keys) == len(set(keys))
    assert tuple(ATTRIBUTION_KEYS) == Attribution._fields
    texts = [key for keys in TEXT_KEYS.values() for key in keys]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(
    ("scope", "detail"),
    [
        ("com.anthropic.sdk.python", Detail.NATIVE),
        ("opentelemetry.instrumentation.genai.openai", Detail.GENAI),
        ("opentelemetry.instrumentation.genai.langchain", Detail.FRAMEWORK),
        ("opentelemetry.util.genai.handler", Detail.GENAI),
        ("opentelemetry.instrumentation.openai_v2", Detail.GENAI),
        ("openinference.instrumentation.openai", Detail.OPENINFERENCE),
        ("openinference.instrumentation.langchain", Detail.FRAMEWORK),
        ("opentelemetry.instrumentation.openai.v1", Detail.TRACELOOP),
        ("opentelemetry.instrumentation.langchain", Detail.FRAMEWORK),
        ("openlit.instrumentation.openai", Detail.PLAIN),
        ("litellm", Detail.FRAMEWORK),
        ("pipecat", Detail.FRAMEWORK),
        ("livekit-agents", Detail.FRAMEWORK),
        ("ai", Detail.FRAMEWORK),
        ("callfare.instrumentation.elevenlabs", Detail.GENAI),
        ("callfare.instrumentation.pipecat", Detail.PLAIN),
        ("my.app", Detail.PLAIN),
    ],
)
def test_detail_goes_by_scope(scope: str, detail: Detail) -> None:
    """Native above genai above OpenInference above Traceloop above frameworks."""
    assert scope_rule(scope, "").detail is detail


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
    assert "pip uninstall opentelemetry-instrumentation-openai" in found.mend
    assert not found.is_broken
    assert installed_collisions({"opentelemetry-instrumentation-openai": "0.62.4"}) == []


def test_the_anthropic_sdk_traces_by_itself() -> None:
    """From version 2 on; the switch turns its own spans off."""
    beside = {"opentelemetry-instrumentation-anthropic": "0.62.4"}
    (found,) = installed_collisions({"anthropic": "2.12.0", **beside})
    assert found.mend.startswith("ANTHROPIC_OPEN_TELEMETRY=false")
    assert installed_collisions({"anthropic": "0.125.0", **beside}) == []
    assert installed_collisions({"anthropic": "?", **beside}) == []


def test_openai_v2_is_broken_with_newer_util_genai() -> None:
    """It fails to import, is skipped at debug level, and no span says so."""
    together = {"opentelemetry-instrumentation-openai-v2": "2.4b0", "opentelemetry-util-genai": "1.3b0"}
    (found,) = installed_collisions(together)
    assert found.is_broken
    assert "opentelemetry-util-genai<1.2" in found.mend
    assert installed_collisions({**together, "opentelemetry-util-genai": "1.1b0"}) == []


def test_what_is_only_turned_on_in_code_collides_when_seen() -> None:
    """Installed, OpenLIT and Logfire mean nothing; in the spans they do."""
    assert installed_collisions({"openlit": "1.45.0", "opentelemetry-instrumentation-openai": "0.62.4"}) == []
    (found,) = seen_collisions(["openlit.instrumentation.openai", "opentelemetry.instrumentation.openai.v1", "app"])
    assert found.vendor == "openai"
    assert seen_collisions(["app", "pipecat"]) == []
