"""How a voice call went, as lines and as JSON: what is not known is left out, or null."""

from decimal import Decimal as D
from typing import Any

from cost_exporter.report.voice import voice_json, voice_lines
from cost_exporter.report.workflow import WorkflowReport


def call(**changed: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "workflow_name": "voice call",
        "duration_seconds": D("61.503"),
        "total_cost_usd": D("0.0205"),
        "unpriced_count": 0,
        "cost_per_minute_usd": D("0.019999024404"),
        "cost_per_minute_by_leg": {"tts": "0.0150004", "llm": "0.0049986", "stt": None},
        "turn_count": 9,
        "interruption_count": 2,
        "dead_air_seconds": D("4.25"),
        "time_to_first_token_p50_seconds": D("0.31"),
        "time_to_first_token_p95_seconds": D("0.9"),
        "time_to_first_audio_p50_seconds": None,
        "time_to_first_audio_p95_seconds": None,
        **changed,
    }


UNKNOWN = {
    name: None
    for name in call()
    if name.endswith(("_count", "_seconds", "_usd")) and name not in {"total_cost_usd", "unpriced_count"}
}


def test_a_call_is_told_in_lines() -> None:
    """Legs in their order; a time that nobody reports has no line, and a leg of unknown cost is not named."""
    assert voice_lines(call()) == [
        "  duration             61.5 s",
        "  turns                9, 2 interrupted",
        "  dead air             4.2 s",
        "  time to first token  p50 0.31 s, p95 0.9 s",
        "  cost per minute      $0.019999 (llm $0.004999, tts $0.015000)",
    ]


def test_unknown_cost_makes_a_lower_bound() -> None:
    """As with the total, and rounding is that of the report."""
    assert voice_lines(call(unpriced_count=3), 2)[-1].split("  ")[-1].startswith("≥ $0.02")


def test_what_nobody_knows_has_no_line() -> None:
    """A call of no duration costs nothing a minute that can be stated."""
    assert voice_lines(call(**UNKNOWN, cost_per_minute_by_leg={})) == []
    assert voice_lines(call(interruption_count=None, cost_per_minute_by_leg={}))[1:2] == ["  turns                9"]


def test_json_has_every_column_but_those_of_the_workflow() -> None:
    """Money and durations as text, as everywhere; null is unknown."""
    body = voice_json(call())
    assert (body["turn_count"], body["dead_air_seconds"]) == (9, "4.25")
    assert body["cost_per_minute_by_leg"] == {"tts": "0.0150004", "llm": "0.0049986", "stt": None}
    assert body["time_to_first_audio_p50_seconds"] is None
    assert "tenant_id" not in body
    row = {"trace_id": None, "total_cost_usd": D(0), "unpriced_count": 0}
    assert WorkflowReport.of(row, [], call()).as_json()["call"] == body
    assert WorkflowReport.of(row, []).as_json()["call"] is None
