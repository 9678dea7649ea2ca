from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal as D
from uuid import UUID

import pytest

from cost_exporter.report.amounts import cost_text, jsonable, total_text, with_thousands


def test_unknown_cost_is_not_written_as_zero() -> None:
    """An unknown cost is a dash, a free call is $0."""
    assert cost_text(None) == "-"
    assert cost_text(D(0)) == "$0"


def test_cost_is_written_exactly() -> None:
    """No digit of a cost is rounded away, and none is added."""
    assert cost_text(D("0.000000000001")) == "$0.000000000001"
    assert cost_text(D("12.500000000000")) == "$12.5"
    assert cost_text(D("-3.1")) == "-$3.1"


def test_total_with_unknowns_reads_as_lower_bound() -> None:
    """A total that misses something says so and says how much."""
    assert total_text(D("0.02"), 0) == "$0.02"
    assert total_text(D("0.02"), 3) == "≥ $0.02 (3 unpriced)"
    assert total_text(D(0), 1) == "≥ $0 (1 unpriced)"


@pytest.mark.parametrize(
    ("number", "written"), [("1234567.5", "1,234,567.5"), ("0.25", "0.25"), ("999", "999"), ("many", "many")]
)
def test_thousands_are_grouped_for_reading(number: str, written: str) -> None:
    """Only the whole part is grouped; what is no number stays as it is."""
    assert with_thousands(number) == written


def test_rows_become_json_without_losing_a_digit() -> None:
    """Money is a string, times are UTC, trace ids are 32 hex digits, at any depth."""
    row = {
        "trace_id": UUID("0af7651916cd43dd8448eb211c80319c"),
        "started_at": datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        "ended_at": datetime(2026, 3, 1, tzinfo=UTC),
        "day": date(2026, 3, 1),
        "cost_usd": D("0.100000000000"),
        "lines": [{"quantity": D("1.5"), "count": 2}],
        "raw": b"\x01\xff",
        "tier": None,
    }
    assert jsonable(row) == {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "started_at": "2026-02-28T23:00:00Z",
        "ended_at": "2026-03-01T00:00:00Z",
        "day": "2026-03-01",
        "cost_usd": "0.1",
        "lines": [{"quantity": "1.5", "count": 2}],
        "raw": "01ff",
        "tier": None,
    }
