"""One workflow by leg: each line of each record with quantity, unit, unit price, cost and status.

Takes the row of `workflow_cost` and the rows of `cost_record` as the database has them. Nothing is computed
that the rows do not say; an operation of unknown cost has its line, its dash and its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.cost import LEGS, leg_of
from cost_exporter.domain.money import to_plain, total
from cost_exporter.report.amounts import cost_text, jsonable, short_time_text, total_text, with_thousands
from cost_exporter.report.decisions import billed_instead, issue_explained
from cost_exporter.report.sheet import Fold, Sheet
from cost_exporter.report.unit_price import unit_price_text
from cost_exporter.report.voice import voice_json

__all__ = ["WorkflowReport", "line_cells", "top_sheet", "trace_json", "workflow_json"]

Row = Mapping[str, Any]
_DASH: Final = "-"
_TRACE_FOLDS: Final = (
    Fold(columns=("provider", "model"), into="model", separator=" "),
    Fold(columns=("quantity", "unit"), into="quantity", separator=" "),
    Fold(columns=("model", "status"), into="model", separator="\n"),
    Fold(columns=("quantity", "unit price"), into="quantity", separator="\n"),
    Fold(columns=("leg", "model"), into="leg", separator="\n"),
)
"""How the table of a workflow gets narrower, in this order."""
_TOP_FOLDS: Final = (
    Fold(columns=("tenant", "workflow"), into="workflow", separator=" "),
    Fold(columns=("duration", "calls"), into="duration / calls", separator=" / "),
    Fold(columns=("started", "state"), into="started", separator="\n"),
    Fold(columns=("trace_id", "workflow"), into="trace_id", separator="\n"),
    Fold(columns=("started", "duration / calls"), into="started", separator="\n"),
    Fold(columns=("trace_id", "started"), into="trace_id", separator="\n"),
)
_CACHED: Final = ("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_NOT_TEXT: Final = {
    "input_tokens": ("input_audio_tokens", "input_image_tokens", "input_video_tokens"),
    "output_tokens": ("output_audio_tokens", "output_image_tokens"),
}
_MONEY_MAPS: Final = frozenset({"by_leg", "by_category"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowReport:
    """A workflow and its records, in the order of legs and time."""

    workflow: Row
    records: tuple[Row, ...]
    call: Row | None = None
    """The row of `voice_call`, where the workflow is a call."""

    @classmethod
    def of(cls, workflow: Row, records: Sequence[Row], call: Row | None = None) -> "WorkflowReport":
        """Return the report with its records put in order."""
        return cls(workflow=workflow, records=tuple(sorted(records, key=_place)), call=call)

    def total(self, places: int | None = None) -> str:
        """Return the total as people read it, a lower bound where something is unknown."""
        known_usd, unpriced_count = _known(self.workflow)
        return total_text(known_usd, unpriced_count, places)

    def as_json(self) -> dict[str, Any]:
        """Return the workflow under the SQL column names, with its `records`, and how it went if it is a `call`."""
        return workflow_json(self.workflow) | {
            "records": [{"leg": leg_of(row["operation"] or "")} | jsonable(row) for row in self.records],
            "call": None if self.call is None else voice_json(self.call),
        }

    def sheet(self, places: int | None = None) -> Sheet:
        """Return one row a line, for people: costs rounded to `places`, or exact."""
        name = self.workflow["workflow_name"] or self.workflow["workflow_id"] or "workflow"
        return Sheet(
            title=f"{name}  {jsonable(self.workflow['trace_id'])}  ({self.workflow['state']})",
            columns=("leg", "provider", "model", "quantity", "unit", "unit price", "cost", "status"),
            rows=tuple(cells for record in self.records for cells in _record_rows(record, places)),
            right_aligned=frozenset({"quantity", "unit price", "cost"}),
            point_aligned=frozenset({"cost"}),
            unbroken=frozenset({"leg", "unit"}),
            folds=_TRACE_FOLDS,
            total=f"total {self.total(places)}",
        )

    def explanation(self) -> list[str]:
        """Return, record by record, every step from what was metered to what was paid."""
        return [line for record in self.records for line in _explained(record)]


def trace_json(reports: Sequence[WorkflowReport]) -> dict[str, Any]:
    """Return the JSON of a trace. One that is split over tenants has its sum and a workflow each."""
    if len(reports) == 1:
        return reports[0].as_json()
    unpriced_count = sum(int(report.workflow["unpriced_count"] or 0) for report in reports)
    return {
        "trace_id": jsonable(reports[0].workflow["trace_id"]),
        "total_cost_usd": to_plain(total(report.workflow["total_cost_usd"] or Decimal(0) for report in reports)),
        "unpriced_count": unpriced_count,
        "cost_is_lower_bound": unpriced_count > 0,
        "workflows": [report.as_json() for report in reports],
    }


def top_sheet(
    workflows: Sequence[Row], title: str = "The most expensive workflows", places: int | None = None
) -> Sheet:
    """Return workflows in the order they come in, for people."""
    return Sheet(
        title=title,
        columns=("trace_id", "tenant", "workflow", "started", "state", "duration", "calls", "cost"),
        rows=tuple(_top_row(workflow, places) for workflow in workflows),
        right_aligned=frozenset({"duration", "calls", "cost"}),
        point_aligned=frozenset({"cost"}),
        unbroken=frozenset({"trace_id", "started", "state"}),
        folds=_TOP_FOLDS,
    )


def workflow_json(workflow: Row) -> dict[str, Any]:
    """Return a row of `workflow_cost` as JSON, with whether its total is a lower bound."""
    body = {
        name: _money_map(content) if name in _MONEY_MAPS else jsonable(content) for name, content in workflow.items()
    }
    return body | {"cost_is_lower_bound": _known(workflow)[1] > 0}


def _known(workflow: Row) -> tuple[Decimal, int]:
    """Return the known part of a total, and how many calls it does not, or not fully, contain."""
    return workflow["total_cost_usd"] or Decimal(0), int(workflow["unpriced_count"] or 0)


def _top_row(workflow: Row, places: int | None) -> tuple[str, ...]:
    known_usd, unpriced_count = _known(workflow)
    started_at: datetime | None = workflow["started_at"]
    return (
        jsonable(workflow["trace_id"]),
        workflow["tenant_id"],
        workflow["workflow_name"] or "",
        short_time_text(started_at),
        workflow["state"],
        _duration(started_at, workflow["ended_at"]),
        str(workflow["request_count"]),
        total_text(known_usd, unpriced_count, places),
    )


def _duration(started_at: datetime | None, ended_at: datetime | None) -> str:
    if started_at is None or ended_at is None:
        return ""
    seconds = int((ended_at - started_at).total_seconds())
    return f"{seconds // 60}:{seconds % 60:02}"


def _place(record: Row) -> tuple[Any, ...]:
    """A duplicate follows what is billed in its place where both started at once, as the spans of a phone call do."""
    leg, is_duplicate = leg_of(record["operation"] or ""), record["status"] == "duplicate"
    return (LEGS.index(leg), record["started_at"], is_duplicate, record["span_id"])


def _record_rows(record: Row, places: int | None) -> list[tuple[str, ...]]:
    leg = leg_of(record["operation"] or "")
    head = (leg, record["provider"] or _DASH, record["model"] or _DASH)
    lines = list(record["lines"] or ())
    if not lines:
        return [(*head, _DASH, _DASH, _DASH, cost_text(record["cost_usd"], places), _status(record))]
    usage: Row = record.get("usage") or {}
    first, *rest = [line_cells(line, usage, places) for line in lines]
    return [(*head, *first, _status(record)), *[("", "", "", *cells, "") for cells in rest]]


def line_cells(line: Row, usage: Row, places: int | None) -> tuple[str, str, str, str]:
    """Return quantity, unit, unit price and cost of a line; `used → billed` where the two differ."""
    used, billed = (with_thousands(str(line[name])) for name in ("quantity", "billed_quantity"))
    amount = None if line["amount"] is None else Decimal(line["amount"])
    quantity = billed if used == billed else f"{used} → {billed}"
    return (quantity, _unit(line, usage), _unit_price(line), cost_text(amount, places))


def _unit(line: Row, usage: Row) -> str:
    """Return the unit, and what of a total this line is where other lines bill the rest: `input_tokens (uncached)`."""
    unit = str(line["unit"])
    if unit not in _NOT_TEXT or str(jsonable(usage.get(unit))) == str(line["quantity"]):
        return unit
    is_uncached = unit == "input_tokens" and any(usage.get(part) for part in _CACHED)
    is_text = any(usage.get(part) for part in _NOT_TEXT[unit])
    words = [word for word, applies in (("uncached", is_uncached), ("text", is_text)) if applies]
    return f"{unit} ({' '.join(words)})" if words else unit


def _unit_price(line: Row) -> str:
    if line["unit_price"] is None:
        return _DASH
    return unit_price_text(str(line["unit"]), Decimal(str(line["unit_price"])), Decimal(str(line["per"])))


def _status(record: Row) -> str:
    """Return the status with what a reader needs to understand it."""
    if record["status"] == "duplicate":
        return billed_instead(record)
    reasons = [text for text in (record["error_type"],) if text]
    codes = dict.fromkeys(str(issue).partition(":")[0] for issue in record["issues"] or ())
    reasons += [code for code in codes if code != record["status"]]
    return f"{record['status']} ({', '.join(reasons)})" if reasons else str(record["status"])


def _explained(record: Row) -> list[str]:
    head = f"span {record['span_id']}: {record['operation']} {record['provider']} {record['model']}, {_status(record)}"
    reporter = [f"  reported by {record['scope']}"] if record.get("scope") else []
    issues = [f"  {issue_explained(record, str(issue))}" for issue in record["issues"] or ()]
    owner = f"  tenant {record['tenant_id']}, category {record['category']}"
    if record["book_version"]:
        owner += f", prices of book {record['book_version']}"
    return [head, *reporter, owner, *issues, *[f"  {_line_explained(line)}" for line in record["lines"] or ()]]


def _line_explained(line: Row) -> str:
    metered, billed = str(line["quantity"]), str(line["billed_quantity"])
    step = f"{metered} {line['unit']}" if metered == billed else f"{metered} {line['unit']}, billed as {billed}"
    if line["amount"] is None:
        return f"{step}: no price"
    sum_text = f"{billed} x {line['unit_price']} / {line['per']} = ${line['amount']}"
    return f"{step}: {sum_text}  [{line.get('price_id') or 'price row not stated'}]"


def _money_map(amounts: Mapping[str, Any] | None) -> dict[str, str | None]:
    return {name: None if amount is None else str(jsonable(amount)) for name, amount in (amounts or {}).items()}
