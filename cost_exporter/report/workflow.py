"""One workflow by leg: each line of each record with quantity, unit, unit price, cost and status.

Takes the row of `workflow_cost` and the rows of `cost_record` as the database has them. Nothing is computed
that the rows do not say; an operation of unknown cost has its line, its dash and its reason.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.cost import LEGS, leg_of
from cost_exporter.domain.money import to_plain, total
from cost_exporter.domain.value import value
from cost_exporter.report.amounts import cost_text, jsonable, total_text, with_thousands
from cost_exporter.report.decisions import issue_explained, told_instead
from cost_exporter.report.forms import Sheet

__all__ = ["WorkflowReport", "top_sheet", "trace_json"]

Row = Mapping[str, Any]
_DASH: Final = "-"
_SHORT_COUNTS: Final = {"1000": "1K", "1000000": "1M"}
_MONEY_MAPS: Final = frozenset({"by_leg", "by_category"})


@value
class WorkflowReport:
    """A workflow and its records, in the order of legs and time."""

    workflow: Row
    records: tuple[Row, ...]

    @classmethod
    def of(cls, workflow: Row, records: Sequence[Row]) -> "WorkflowReport":
        """Return the report with its records put in order."""
        return cls(workflow=workflow, records=tuple(sorted(records, key=_place)))

    @property
    def total(self) -> str:
        """The total as people read it, a lower bound where something is unknown."""
        return total_text(self.workflow["total_cost_usd"] or Decimal(0), int(self.workflow["unpriced_count"] or 0))

    def as_json(self) -> dict[str, Any]:
        """Return the workflow under the SQL column names, with its `records`."""
        workflow = {
            name: _money_map(content) if name in _MONEY_MAPS else jsonable(content)
            for name, content in self.workflow.items()
        }
        return workflow | {"records": [{"leg": leg_of(row["operation"] or "")} | jsonable(row) for row in self.records]}

    def sheet(self) -> Sheet:
        """Return one row a line."""
        name = self.workflow["workflow_name"] or self.workflow["workflow_id"] or "workflow"
        return Sheet(
            title=f"{name}  {jsonable(self.workflow['trace_id'])}  ({self.workflow['state']})",
            columns=("leg", "provider", "model", "quantity", "unit", "unit price", "cost", "status"),
            rows=tuple(cells for record in self.records for cells in _record_rows(record)),
            right_aligned=frozenset({"quantity", "unit price", "cost"}),
            total=f"total {self.total}",
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
        "workflows": [report.as_json() for report in reports],
    }


def top_sheet(workflows: Sequence[Row]) -> Sheet:
    """Return the dearest workflows, dearest first."""
    return Sheet(
        title="The dearest workflows",
        columns=("trace_id", "tenant_id", "workflow_name", "started_at", "state", "total"),
        rows=tuple(_top_row(workflow) for workflow in workflows),
        right_aligned=frozenset({"total"}),
    )


def _top_row(workflow: Row) -> tuple[str, ...]:
    shown = [jsonable(workflow[name]) for name in ("trace_id", "tenant_id", "workflow_name", "started_at", "state")]
    cost = total_text(workflow["total_cost_usd"] or Decimal(0), int(workflow["unpriced_count"] or 0))
    return (*["" if cell is None else str(cell) for cell in shown], cost)


def _place(record: Row) -> tuple[Any, ...]:
    """A duplicate follows what is billed in its place where both started at once, as the spans of a phone call do."""
    leg, is_duplicate = leg_of(record["operation"] or ""), record["status"] == "duplicate"
    return (LEGS.index(leg), record["started_at"], is_duplicate, record["span_id"])


def _record_rows(record: Row) -> list[tuple[str, ...]]:
    leg = leg_of(record["operation"] or "")
    head = (leg, record["provider"] or _DASH, record["model"] or _DASH)
    lines = list(record["lines"] or ())
    if not lines:
        return [(*head, _DASH, _DASH, _DASH, cost_text(record["cost_usd"]), _status(record))]
    first = (*head, *_line_cells(lines[0]), _status(record))
    return [first, *[("", "", "", *_line_cells(line), "") for line in lines[1:]]]


def _line_cells(line: Row) -> tuple[str, str, str, str]:
    quantity = with_thousands(str(line["billed_quantity"]))
    amount = None if line["amount"] is None else Decimal(line["amount"])
    return (quantity, str(line["unit"]), _unit_price(line), cost_text(amount))


def _unit_price(line: Row) -> str:
    if line["unit_price"] is None:
        return _DASH
    per, price = str(line["per"]), f"${line['unit_price']}"
    return price if per == "1" else f"{price} / {_SHORT_COUNTS.get(per) or with_thousands(per)}"


def _status(record: Row) -> str:
    """Return the status with what a reader needs to understand it."""
    if record["status"] == "duplicate":
        return told_instead(record)
    reasons = [text for text in (record["error_type"],) if text]
    codes = dict.fromkeys(str(issue).partition(":")[0] for issue in record["issues"] or ())
    reasons += [code for code in codes if code != record["status"]]
    return f"{record['status']} ({', '.join(reasons)})" if reasons else str(record["status"])


def _explained(record: Row) -> list[str]:
    head = f"span {record['span_id']}: {record['operation']} {record['provider']} {record['model']}, {_status(record)}"
    teller = [f"  told by {record['scope']}"] if record.get("scope") else []
    issues = [f"  {issue_explained(record, str(issue))}" for issue in record["issues"] or ()]
    owner = f"  tenant {record['tenant_id']}, category {record['category']}"
    if record["book_version"]:
        owner += f", prices of book {record['book_version']}"
    return [head, *teller, owner, *issues, *[f"  {_line_explained(line)}" for line in record["lines"] or ()]]


def _line_explained(line: Row) -> str:
    metered, billed = str(line["quantity"]), str(line["billed_quantity"])
    step = f"{metered} {line['unit']}" if metered == billed else f"{metered} {line['unit']}, billed as {billed}"
    if line["amount"] is None:
        return f"{step}: no price"
    sum_text = f"{billed} x {line['unit_price']} / {line['per']} = ${line['amount']}"
    return f"{step}: {sum_text}  [{line.get('price_id') or 'price row not stated'}]"


def _money_map(amounts: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(jsonable(amount)) for name, amount in (amounts or {}).items()}
