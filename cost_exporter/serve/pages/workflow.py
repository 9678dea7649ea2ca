"""One workflow: what it cost and earned, by leg, and every call with its time, quantities, prices and status."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape

from cost_exporter.domain.cost import LEGS, leg_of
from cost_exporter.domain.money import total
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.report.amounts import time_text
from cost_exporter.report.decisions import billed_instead, issue_explained
from cost_exporter.report.margin import profit_is_upper_bound, unpriced_counts
from cost_exporter.report.unpriced import nearest_model
from cost_exporter.report.workflow import WorkflowReport, line_cells
from cost_exporter.report.workflow_list import cost_per_minute_usd
from cost_exporter.safe_text import for_html
from cost_exporter.serve.pages.charts import stacked_bar, time_bar
from cost_exporter.serve.pages.figures import (
    LEG_WORDS,
    at_least,
    at_most,
    column_places,
    duration_text,
    figure,
    in_figures,
)
from cost_exporter.serve.pages.render import link

__all__ = ["workflow_content"]

Row = Mapping[str, Any]
_PLAIN_STATUSES = frozenset({"priced", "reported"})


def workflow_content(reports: Sequence[WorkflowReport], book: PriceBook, jaeger_url: str | None) -> dict[str, Any]:
    """Return what fills the page: a section for each tenant that pays for the trace."""
    workflows = [report.workflow for report in reports]
    known_usd = total(workflow["total_cost_usd"] or Decimal(0) for workflow in workflows)
    unpriced_count = sum(int(workflow["unpriced_count"] or 0) for workflow in workflows)
    return {
        "workflows": [_section(report, book, jaeger_url) for report in reports],
        "total": at_least(known_usd, unpriced_count),
    }


def _section(report: WorkflowReport, book: PriceBook, jaeger_url: str | None) -> dict[str, Any]:
    workflow, trace_id = report.workflow, report.workflow["trace_id"].hex
    billed = [record for record in report.records if record["status"] != "duplicate"]
    unpriced_count = int(workflow["unpriced_count"] or 0)
    started_at, ended_at = workflow["started_at"], workflow["ended_at"]
    seconds = None if started_at is None or ended_at is None else max(0.0, (ended_at - started_at).total_seconds())
    return {
        "name": workflow["workflow_name"] or workflow["workflow_id"] or trace_id,
        "trace_id": trace_id,
        "tenant_id": workflow["tenant_id"],
        "state": workflow["state"],
        "started_at": started_at,
        "seconds": seconds,
        "jaeger": f"{jaeger_url.rstrip('/')}/trace/{trace_id}" if jaeger_url else "",
        "call_count": len(billed),
        "unpriced_count": unpriced_count,
        "total": at_least(_known_total(workflow, len(billed)), unpriced_count),
        "per_minute": _per_minute(workflow, billed, seconds),
        "margin": _margin(workflow),
        "bar": stacked_bar(_parts(workflow), "Cost by leg; the list below has the figures"),
        "by_leg": _by_leg(workflow, billed),
        "facts": _facts(workflow, billed),
        "calls": _calls(billed, started_at, seconds, book),
        "duplicates": [_duplicate(record) for record in report.records if record["status"] == "duplicate"],
        "explanation": [in_figures(for_html(line)) for line in report.explanation()],
        "exports": [
            ("json", f"/v1/workflows/{trace_id}/cost"),
            *(
                (form, link("/v1/calls", _period(started_at), trace_id=trace_id, format=form))
                for form in ("csv", "ndjson")
            ),
        ],
    }


def _period(started_at: datetime | None) -> dict[str, str]:
    """Return the days around a workflow: the list of calls is one of a period."""
    if started_at is None:
        return {}
    return {"start_date": f"{started_at:%Y-%m-%d}", "end_date": f"{started_at.year + 1}-01-02"}


def _known_total(workflow: Row, call_count: int) -> Decimal | None:
    known_usd: Decimal = workflow["total_cost_usd"] or Decimal(0)
    is_unknown = bool(call_count) and int(workflow["unpriced_count"] or 0) == call_count and not known_usd
    return None if is_unknown else known_usd


def _per_minute(workflow: Row, billed: Sequence[Row], seconds: float | None) -> Markup | str:
    used = [Decimal(str((record["usage"] or {}).get("call_seconds", 0))) for record in billed if record.get("usage")]
    row = {**workflow, "call_seconds": sum(used, Decimal(0)), "duration_seconds": Decimal(str(seconds or 0))}
    per_minute = cost_per_minute_usd({**row, "request_count": len(billed)})
    return "" if per_minute is None else at_least(per_minute, int(workflow["unpriced_count"] or 0))


def _margin(workflow: Row) -> dict[str, Any] | None:
    """Return revenue, fee and profit where the revenue is known. An unknown cost makes the profit an upper bound."""
    if workflow.get("revenue_usd") is None:
        return None
    fee_usd: Decimal | None = workflow["fee_usd"]
    return {
        "revenue": figure(workflow["revenue_usd"]),
        "fee": Markup("unknown (no fee rule)") if fee_usd is None else figure(fee_usd),
        "profit": at_most(workflow["profit_usd"], is_bound=profit_is_upper_bound(workflow)),
    }


def _parts(workflow: Row) -> list[tuple[str, Decimal]]:
    by_leg = workflow["by_leg"] or {}
    return [(leg, Decimal(str(by_leg[leg]))) for leg in LEGS if by_leg.get(leg) is not None]


def _by_leg(workflow: Row, billed: Sequence[Row]) -> list[tuple[str, str, Markup]]:
    by_leg = workflow["by_leg"] or {}
    unpriced = unpriced_counts(billed, lambda record: leg_of(record["operation"] or ""))
    return [
        (leg, LEG_WORDS[leg], at_least(None if by_leg[leg] is None else Decimal(str(by_leg[leg])), unpriced[leg]))
        for leg in LEGS
        if leg in by_leg
    ]


def _facts(workflow: Row, billed: Sequence[Row]) -> list[tuple[str, Markup]]:
    """Return who it was for, as far as the spans say."""
    named = (("User", "user_id"), ("API key", "api_key_id"), ("Tier", "tier"), ("Service", "service_name"))
    facts = [
        (name, Markup(", ").join(sorted({str(record[column]) for record in billed if record.get(column)})[:5]))
        for name, column in named
    ]
    by_category = workflow["by_category"] or {}
    unpriced = unpriced_counts(billed, lambda record: record["category"])
    categories = [
        Markup("{} {}").format(
            for_html(name),
            at_least(None if by_category[name] is None else Decimal(str(by_category[name])), unpriced[name]),
        )
        for name in sorted(by_category)
    ]
    if workflow["workflow_id"] not in {None, workflow["trace_id"].hex}:
        facts.insert(0, ("Workflow id", escape(for_html(workflow["workflow_id"]))))
    if categories:
        facts.append(("By category", Markup(", ").join(categories)))
    return [(name, text) for name, text in facts if text]


def _calls(
    billed: Sequence[Row], started_at: datetime | None, seconds: float | None, book: PriceBook
) -> list[dict[str, Any]]:
    lines = [line for record in billed for line in record["lines"] or ()]
    places = column_places(
        [
            *(record["cost_usd"] for record in billed),
            *(Decimal(str(line["amount"])) for line in lines if line["amount"]),
        ]
    )
    return [_call(record, started_at, seconds, places, book) for record in billed]


def _call(
    record: Row, started_at: datetime | None, seconds: float | None, places: int, book: PriceBook
) -> dict[str, Any]:
    leg = leg_of(record["operation"] or "")
    offset = 0.0 if started_at is None else max(0.0, (record["started_at"] - started_at).total_seconds())
    took = float(record.get("duration_seconds") or 0)
    reasons = [text for text in (record["error_type"],) if text]
    if record["status"] not in _PLAIN_STATUSES or record["issues"]:
        reasons += [issue_explained(record, str(issue)) for issue in record["issues"] or ()]
    usage: Row = record.get("usage") or {}
    unknown = is_unpriced(record["status"])
    lines = [_line(line, usage, places) for line in record["lines"] or ()]
    return {
        "leg": leg,
        "model": record["model"] or record["operation"] or "(no model)",
        "provider": record["provider"] or "(no provider)",
        "status": record["status"],
        "reasons": [reason for reason in reasons if reason != record["status"]],
        "alternative": nearest_model(record, book) if record["status"] in {"unpriced", "partial"} else None,
        "bar": time_bar(leg, offset / seconds if seconds else 0.0, took / seconds if seconds else 1.0),
        "offset": f"at {duration_text(offset)}" if offset else "at the start",
        "took": f"took {duration_text(took)}",
        "cost": at_least(record["cost_usd"], int(unknown), places),
        "single": lines[0] if len(lines) == 1 else None,
        "lines": lines if len(lines) > 1 else [],
    }


def _line(line: Row, usage: Row, places: int) -> dict[str, Any]:
    quantity, unit, unit_price, _ = line_cells(line, usage, None)
    numbers = Markup(" billed as ").join(_number(text) for text in quantity.split(" → "))
    price, slash, per = unit_price.partition(" / ")
    amount = None if line["amount"] is None else Decimal(str(line["amount"]))
    return {
        "quantity": Markup("{} {}").format(numbers, for_html(unit.replace("_", " "))),
        "unit_price": Markup('<data value="{}">{}</data>{}').format(price[1:], price, slash + per)
        if price.startswith("$")
        else escape(unit_price),
        "cost": at_least(amount, 0, places),
    }


def _number(text: str) -> Markup:
    return Markup('<data value="{}">{}</data>').format(text.replace(",", ""), text)


def _duplicate(record: Row) -> str:
    what = f"{record['operation']} {record['provider'] or ''} {record['model'] or ''}".strip()
    return f"span {record['span_id']} ({what}, {time_text(record['started_at'])}): {billed_instead(record)}"
