from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any
from uuid import UUID

import pytest

from cost_exporter.report.workflow import WorkflowReport, top_sheet

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINE = {
    "unit": "input_tokens",
    "quantity": "1234",
    "billed_quantity": "1234",
    "unit_price": "0.15",
    "per": "1000000",
    "amount": "0.0001851",
    "price_id": "list openai gpt-4o-mini input_tokens",
}


def workflow(**changed: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "trace_id": UUID("0af7651916cd43dd8448eb211c80319c"),
        "workflow_id": None,
        "workflow_name": "support-call",
        "state": "completed",
        "started_at": START,
        "total_cost_usd": D("0.0001851"),
        "unpriced_count": 0,
        "by_leg": {"llm": D("0.0001851"), "tts": 0},
        **changed,
    }


def record(span_id: str, **changed: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "span_id": span_id,
        "started_at": START,
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "status": "priced",
        "category": "bot",
        "cost_usd": D("0.0001851"),
        "lines": [LINE],
        "issues": [],
        "error_type": None,
        "duplicate_of": None,
        "book_version": "v1",
        **changed,
    }


def test_workflow_is_ordered_by_leg_and_time() -> None:
    """Legs come in the order of a call, records of a leg in the order of time."""
    report = WorkflowReport.of(
        workflow(),
        [
            record("03", operation="text_to_speech"),
            record("02", started_at=START + timedelta(seconds=1)),
            record("01"),
            record("04", operation="rerank"),
        ],
    )
    assert [row["span_id"] for row in report.records] == ["01", "02", "03", "04"]
    assert [row[0] for row in report.sheet().rows] == ["llm", "llm", "tts", "other"]


def test_duplicate_of_the_same_moment_comes_second() -> None:
    """Twilio tells one start for all spans of a call: the billed one is shown first, whatever its id."""
    report = WorkflowReport.of(workflow(), [record("01", status="duplicate", cost_usd=None), record("02")])
    assert [row["span_id"] for row in report.records] == ["02", "01"]


def test_each_reason_is_said_once() -> None:
    """Two quantities without a price are one reason; the whole issues are in the explanation."""
    issues = ["paid_extras: diarize, redact", "no_price: paid_extras", "no_price: input_tokens"]
    row = WorkflowReport.of(workflow(), [record("01", status="partial", issues=issues)]).sheet().rows[0]
    assert row[-1] == "partial (paid_extras, no_price)"


def test_line_shows_quantity_unit_price_cost_and_status() -> None:
    """Each line says what was metered, at what price, and what that costs."""
    rows = WorkflowReport.of(workflow(), [record("01", lines=[LINE, {**LINE, "unit": "output_tokens"}])]).sheet().rows
    assert rows == (
        ("llm", "openai", "gpt-4o-mini", "1,234", "input_tokens", "$0.15 / 1M tokens", "$0.0001851", "priced"),
        ("", "", "", "1,234", "output_tokens", "$0.15 / 1M tokens", "$0.0001851", ""),
    )


def test_unknown_cost_is_a_dash_with_its_reason() -> None:
    """A call without usage is shown with a dash, never with $0."""
    issues = ["stream_without_usage: the application did not ask for it", "no_usage"]
    lost = record("01", status="no_usage", cost_usd=None, lines=[], issues=issues)
    assert WorkflowReport.of(workflow(), [lost]).sheet().rows == (
        ("llm", "openai", "gpt-4o-mini", "-", "-", "-", "-", "no_usage (stream_without_usage)"),
    )


def test_refused_call_names_its_error() -> None:
    """A refused call costs 0 and says why."""
    refused = record("01", cost_usd=D(0), lines=[], error_type="RateLimitError")
    assert WorkflowReport.of(workflow(), [refused]).sheet().rows[0][6:] == ("$0", "priced (RateLimitError)")


def test_quantity_without_price_has_no_figure() -> None:
    """A quantity that the book does not price has dashes for price and cost."""
    line = {**LINE, "unit_price": None, "per": None, "amount": None}
    report = WorkflowReport.of(workflow(), [record("01", status="partial", lines=[line])])
    assert report.sheet().rows[0][5:7] == ("-", "-")
    assert "1234 input_tokens: no price" in report.explanation()[-1]


def test_duplicate_names_what_is_billed_instead() -> None:
    """A duplicate shows the span that is billed in its place."""
    double = record("02", status="duplicate", duplicate_of="01", cost_usd=None, lines=[])
    assert WorkflowReport.of(workflow(), [double]).sheet().rows[0][-1] == "duplicate of 01"


def test_duplicate_of_a_call_in_another_trace_names_the_trace() -> None:
    """A gateway reports the call in a trace of its own: its span id alone would lead nowhere."""
    elsewhere = UUID("ffffffffffffffffffffffffffffffff")
    double = record("02", status="duplicate", duplicate_of="01", duplicate_trace_id=elsewhere, lines=[])
    status = WorkflowReport.of(workflow(), [double]).sheet().rows[0][-1]
    assert status == f"duplicate of 01 in trace {elsewhere.hex}"


def test_span_that_its_emitter_calls_not_billable_is_no_duplicate_of_nothing() -> None:
    """It names no other span, so none is shown."""
    double = record("02", status="duplicate", issues=["not_billable"], lines=[])
    report = WorkflowReport.of(workflow(), [double])
    assert report.sheet().rows[0][-1] == "not billable"
    assert "its emitter says that a span below it is (gen_ai.usage.billable=false)" in report.explanation()[-1]


@pytest.mark.parametrize(
    ("issue", "words"),
    [
        ("same_call:response_id", "not billed: the call is billed as 01; both carry the same response id"),
        ("same_call:overlap", "another instrumentation reports the same model and usage at the same time"),
        ("same_call:framework", "a framework's span yields to the calls of the vendor below it"),
        ("amended_by:03", "billed with the figures of span 03"),
        ("vendor_total", "corrected to what the vendor says that the session took"),
        ("exclusive_input", "exclusive_input"),
    ],
)
def test_explanation_says_who_told_of_a_call_and_why_it_is_billed_or_not(issue: str, words: str) -> None:
    """Which instrumentation it was, and the evidence that the decision rests on."""
    double = record("02", duplicate_of="01", scope="some.scope", issues=[issue], book_version="", lines=[])
    lines = WorkflowReport.of(workflow(), [double]).explanation()
    assert lines[1:3] == ["  reported by some.scope", "  tenant acme, category bot"]
    assert words in lines[3]
    assert issue in lines[3]


def test_total_is_a_lower_bound_where_something_is_unknown() -> None:
    """The total of a workflow with an unpriced call says so."""
    report = WorkflowReport.of(workflow(unpriced_count=1), [])
    assert report.sheet().total == "total ≥ $0.0001851 (1 unpriced)"


def test_explanation_leads_from_the_meter_to_the_cost() -> None:
    """Every digit can be followed: metered, billed, price, amount, and the price row it came from."""
    minute = {**LINE, "unit": "call_seconds", "quantity": "61", "billed_quantity": "120", "per": "60", "price_id": ""}
    text = "\n".join(WorkflowReport.of(workflow(), [record("01", lines=[LINE, minute])]).explanation())
    assert "1234 input_tokens: 1234 x 0.15 / 1000000 = $0.0001851  [list openai gpt-4o-mini input_tokens]" in text
    assert "61 call_seconds, billed as 120: 120 x 0.15 / 60 = $0.0001851  [price row not stated]" in text


def test_json_holds_money_as_strings() -> None:
    """The JSON uses the SQL names, and money is text at every depth."""
    body = WorkflowReport.of(workflow(), [record("01")]).as_json()
    assert body["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert body["total_cost_usd"] == "0.0001851"
    assert body["by_leg"] == {"llm": "0.0001851", "tts": "0"}
    assert body["records"][0]["leg"] == "llm"
    assert body["records"][0]["cost_usd"] == "0.0001851"


def test_top_shows_each_workflow_with_its_total() -> None:
    """The most expensive workflows are listed with totals that say what they miss."""
    ended = {"ended_at": START + timedelta(seconds=135), "request_count": 3}
    rows = top_sheet([workflow(**ended), workflow(**ended, workflow_name=None, unpriced_count=2)]).rows
    started = ("2026-03-01 12:00:00", "completed", "2:15", "3")
    assert rows[0][2:] == ("support-call", *started, "$0.0001851")
    assert rows[1][2:] == ("", *started, "≥ $0.0001851 (2 unpriced)")


def test_a_quantity_that_is_billed_as_more_shows_both() -> None:
    """A phone call of 135 seconds is billed as 180: the invoice has the second, the log of calls the first."""
    line = {**LINE, "unit": "call_seconds", "quantity": "135", "billed_quantity": "180", "per": "60"}
    row = WorkflowReport.of(workflow(), [record("01", lines=[line])]).sheet().rows[0]
    assert row[3:6] == ("135 → 180", "call_seconds", "$0.15 / min")


@pytest.mark.parametrize(
    ("usage", "unit"),
    [
        ({"input_tokens": 1234}, "input_tokens"),
        ({"input_tokens": 2234, "cache_read_tokens": 1000}, "input_tokens (uncached)"),
        ({"input_tokens": 2234, "input_audio_tokens": 1000}, "input_tokens (text)"),
        (
            {"input_tokens": 2234, "cache_write_tokens": 500, "input_audio_tokens": 500},
            "input_tokens (uncached text)",
        ),
        ({}, "input_tokens"),
    ],
)
def test_a_line_of_part_of_the_input_says_so(usage: dict[str, int], unit: str) -> None:
    """The provider's page shows all input tokens; the line that bills only some of them has another name."""
    assert WorkflowReport.of(workflow(), [record("01", usage=usage)]).sheet().rows[0][4] == unit


def test_money_can_be_rounded_for_reading() -> None:
    """To the places asked for, half-even, in lines and total; the JSON stays exact."""
    report = WorkflowReport.of(workflow(), [record("01")])
    assert report.sheet(4).rows[0][6] == "$0.0002"
    assert report.sheet(4).total == "total $0.0002"
    assert report.as_json()["total_cost_usd"] == "0.0001851"
