"""Quote a usage by a plan: multiply, add up, and say how sure the figure is.

The hot path of pricing. Every part ends up in one line, priced or not, unless it costs nothing by nature or
measures a second time what another line bills. The amount is the exact sum of the lines.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from cost_exporter.domain.money import CONTEXT, ZERO, quantise_line
from cost_exporter.domain.pricing.rate_card import RateCard
from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.quote import Line, Quote, Rate, Status
from cost_exporter.domain.usage import UsageRecord

__all__ = ["invalid_quote", "planned_quote", "refused_quote", "reported_quote"]

_VENDORS_OWN: Final = Rate("vendor_cost_usd", Decimal(1), Decimal(1), "reported")
_add = CONTEXT.add


def planned_quote(plan: RateCard, parts: dict[str, Quantity], usage: UsageRecord, version: str) -> Quote:
    """Return what these disjoint parts cost by this plan. Takes `parts` over and may change it."""
    steps = plan.steps
    if "requests" in steps:
        parts.setdefault("requests", 1)  # a usage record is one request
    if "reasoning_tokens" in steps and not _take_reasoning_out(parts):
        return invalid_quote("inconsistent_usage: the parts of output_tokens exceed it", version)
    lines: list[Line] = []
    issues = plan.issues
    unpriced: list[str] = []
    amount_usd = ZERO
    for unit, number in parts.items():
        step = steps.get(unit)
        if step is not None:
            # Inlined, not called: this is where the time of pricing goes.
            quantity = Decimal(number)
            billed_quantity = quantity if step.is_plain else step.billed(quantity, usage)
            cost_usd = step.amount_usd(billed_quantity)
            amount_usd = _add(amount_usd, cost_usd)
            lines.append(Line(step.rate, quantity, billed_quantity, cost_usd))
            if step.issue and number and step.issue not in issues:
                issues = (*issues, step.issue)
        elif number and unit not in plan.silent:
            unpriced.append(unit)
            lines.append(_unpriced_line(unit, number))
    if lines and not unpriced:
        status = "estimated" if plan.is_estimated or usage.is_estimated else "priced"
        status = "partial" if plan.is_incomplete else status
        return Quote(amount_usd=amount_usd, status=status, lines=tuple(lines), issues=issues, book_version=version)
    return _incomplete_quote(plan, parts, usage, (amount_usd, lines, unpriced, issues), version)


def _incomplete_quote(
    plan: RateCard,
    parts: Mapping[str, Quantity],
    usage: UsageRecord,
    priced: tuple[Decimal, list[Line], list[str], tuple[str, ...]],
    version: str,
) -> Quote:
    """Return the quote of a usage that has quantities without a price, or nothing that has one."""
    amount_usd, lines, unpriced, issues = priced
    status = _status(plan, usage, len(lines), len(unpriced), parts)
    issues = (*issues, *[f"no_price: {unit}" for unit in unpriced])
    if status == "no_usage":
        issues = (*issues, "no_usage: nothing that has a price")
    is_known = status in {"priced", "estimated", "partial"}
    return Quote(
        amount_usd=amount_usd if is_known else None,
        status=status,
        lines=tuple(lines),
        issues=issues,
        book_version=version,
    )


def _take_reasoning_out(parts: dict[str, Quantity]) -> bool:
    """Take reasoning that has a price of its own out of the output; False where it exceeds it."""
    if "reasoning_tokens" in parts and "output_tokens" in parts:
        parts["output_tokens"] -= parts["reasoning_tokens"]
        return parts["output_tokens"] >= 0
    return True


def _unpriced_line(unit: str, number: Quantity) -> Line:
    quantity = Decimal(number)
    return Line(Rate(unit), quantity, quantity, None)


def _status(
    plan: RateCard, usage: UsageRecord, line_count: int, unpriced_count: int, parts: Mapping[str, Quantity]
) -> Status:
    if unpriced_count:
        return "unpriced" if unpriced_count == line_count else "partial"
    if not plan.is_known:
        return "unpriced"
    if not line_count and any(parts.values()):
        return "no_usage"  # only quantities that cost nothing by nature: nothing says what was used
    return "estimated" if plan.is_estimated or usage.is_estimated else "priced"


def refused_quote(plan: RateCard | None, parts: dict[str, Quantity], usage: UsageRecord, version: str) -> Quote:
    """Return the quote of a request the vendor refused: nothing, unless a price row bills errors too."""
    billed = {} if plan is None else {unit: step for unit, step in plan.steps.items() if step.bill_on_error}
    if plan is None or not any(unit in parts or unit == "requests" for unit in billed):
        reason = "refused: no work was done, so nothing is billed"
        return Quote(amount_usd=ZERO, status="priced", issues=(reason,), book_version=version)
    only_billed = RateCard(
        steps=billed,
        silent=frozenset(parts),
        issues=(*plan.issues, "refused: billed all the same, the price row says bill_on_error"),
        is_estimated=plan.is_estimated,
    )
    return planned_quote(only_billed, parts, usage, version)


def reported_quote(vendor_cost_usd: Decimal, version: str) -> Quote:
    """Return the vendor's own figure as a quote."""
    if not vendor_cost_usd.is_finite() or vendor_cost_usd < 0:
        return invalid_quote("inconsistent_usage: the vendor's cost is not an amount", version)
    line = Line(_VENDORS_OWN, vendor_cost_usd, vendor_cost_usd, quantise_line(vendor_cost_usd))
    return Quote(amount_usd=line.amount_usd, status="reported", lines=(line,), book_version=version)


def invalid_quote(issue: str, version: str) -> Quote:
    """Return the quote of a usage that cannot be: the record is kept, its cost is unknown."""
    return Quote(amount_usd=None, status="invalid", issues=(issue,), book_version=version)
