"""Our figures beside a provider's, by day and model: what matches, and where not, the probable cause. Pure.

A figure matches within half a unit of the provider's last digit; for a sum these add up. An unknown cost of ours never
matches a known one of theirs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from cost_exporter.domain.money import CONTEXT, ZERO, to_plain
from cost_exporter.invoices.stated import NOTHING, Figure, Stated, plus

__all__ = ["Finding", "Ours", "Outcome", "compare"]

Outcome = Literal["matched", "missing spans", "extra spans", "price differs", "not mappable"]
_DATED: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2})$")
_HINTS: Final = {
    "none": "no call of this model arrived: an application is not instrumented, or uses another account",
    "some": "calls are missing: an application is not instrumented, or its spans were lost",
    "over": "the provider counts less: calls of another account or project, or the day is counted in another time zone",
    "unstated": "the provider's figures do not have this model: calls of another account or project",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What the ledger has for a day and model."""

    day: date
    model: str
    operation: str
    request_count: int
    unpriced_count: int
    cost_usd: Decimal | None
    quantities: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One day and model, or one thing that could not be mapped."""

    day: date
    name: str
    outcome: Outcome
    cause: str = ""
    our_cost_usd: Decimal | None = None
    their_cost_usd: Decimal | None = None
    quantities: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict[str, tuple[Decimal, Decimal]])
    """By unit: ours, theirs."""

    def as_json(self) -> dict[str, Any]:
        """Return it with figures as strings."""
        return {
            "day": self.day.isoformat(),
            "name": self.name,
            "outcome": self.outcome,
            "cause": self.cause,
            "our_cost_usd": None if self.our_cost_usd is None else to_plain(self.our_cost_usd),
            "their_cost_usd": None if self.their_cost_usd is None else to_plain(self.their_cost_usd),
            "quantities": {
                unit: {"ours": to_plain(ours), "theirs": to_plain(theirs)}
                for unit, (ours, theirs) in self.quantities.items()
            },
        }


@dataclass(slots=True)
class _Sum:
    """What a provider states for one key."""

    quantities: dict[str, Figure] = field(default_factory=dict[str, Figure])
    cost_usd: Figure | None = None

    def add(self, stated: Stated) -> None:
        """Add one more."""
        for unit, figure in stated.quantities.items():
            self.quantities[unit] = plus(self.quantities.get(unit, NOTHING), figure)
        if stated.cost_usd is not None:
            self.cost_usd = plus(self.cost_usd or NOTHING, stated.cost_usd)


Key = tuple[date, str]


def compare(ours: Sequence[Ours], stated: Iterable[Stated]) -> list[Finding]:
    """Return a finding for each day and model, by day and name."""
    findings: list[Finding] = []
    sums: dict[Key, _Sum] = {}
    known = {each.model for each in ours}
    operations: set[str] = set()
    for each in stated:
        if not each.is_mapped:
            cost_usd = None if each.cost_usd is None else each.cost_usd.number
            findings.append(
                Finding(
                    day=each.day,
                    name=each.label,
                    outcome="not mappable",
                    cause="no model or operation of ours is known by this name",
                    their_cost_usd=cost_usd,
                )
            )
            continue
        operations |= {each.operation} if each.operation else set()
        name = each.operation or _model_of(each.model, known)
        sums.setdefault((each.day, name), _Sum()).add(each)
    mine: dict[Key, list[Ours]] = {}
    for each in ours:
        mine.setdefault((each.day, each.operation if each.operation in operations else each.model), []).append(each)
    findings += [_finding(key, mine.get(key, []), sums.get(key)) for key in mine.keys() | sums.keys()]
    return sorted(_around_midnight(findings), key=lambda each: (each.day, each.name))


def _model_of(model: str, known: set[str]) -> str:
    """Return our name of a model: as it is, or with or without the date at its end."""
    if model in known:
        return model
    plain = _DATED.sub("", model)
    alike = sorted(each for each in known if _DATED.sub("", each) == plain)
    return alike[0] if len(alike) == 1 and (alike[0] == plain or plain == model) else model


def _finding(key: Key, ours: Sequence[Ours], theirs: _Sum | None) -> Finding:
    day, name = key
    cost_usd = _cost(ours)
    if theirs is None:
        outcome: Outcome = "extra spans"
        return Finding(day=day, name=name, outcome=outcome, cause=_HINTS["unstated"], our_cost_usd=cost_usd)
    quantities = {
        unit: (sum((each.quantities.get(unit, ZERO) for each in ours), ZERO), figure.number)
        for unit, figure in theirs.quantities.items()
    }
    outcome, cause = _judged(ours, cost_usd, theirs, quantities)
    return Finding(
        day=day,
        name=name,
        outcome=outcome,
        cause=cause,
        our_cost_usd=cost_usd,
        their_cost_usd=None if theirs.cost_usd is None else theirs.cost_usd.number,
        quantities=quantities,
    )


def _cost(ours: Sequence[Ours]) -> Decimal | None:
    known = [each.cost_usd for each in ours if each.cost_usd is not None]
    return sum(known, ZERO) if known else None


def _judged(
    ours: Sequence[Ours], cost_usd: Decimal | None, theirs: _Sum, quantities: Mapping[str, tuple[Decimal, Decimal]]
) -> tuple[Outcome, str]:
    if not ours:
        return "missing spans", _HINTS["none"]
    off = {
        unit: CONTEXT.subtract(stated, own)
        for unit, (own, stated) in quantities.items()
        if abs(CONTEXT.subtract(stated, own)) > theirs.quantities[unit].off_max
    }
    if off:
        units = ", ".join(f"{to_plain(abs(number))} {unit}" for unit, number in off.items())
        if any(number > 0 for number in off.values()):
            return "missing spans", f"{units} off: {_HINTS['some']}"
        return "extra spans", f"{units} off: {_HINTS['over']}"
    return _price_judged(ours, cost_usd, theirs, has_quantities=bool(quantities))


def _price_judged(
    ours: Sequence[Ours], cost_usd: Decimal | None, theirs: _Sum, *, has_quantities: bool
) -> tuple[Outcome, str]:
    if theirs.cost_usd is None:
        return "matched", ""
    unpriced_count = sum(each.unpriced_count for each in ours)
    if cost_usd is None or unpriced_count:
        return "price differs", f"{unpriced_count} calls have no known cost here: load a price for the model"
    difference = CONTEXT.subtract(theirs.cost_usd.number, cost_usd)
    if abs(difference) <= theirs.cost_usd.off_max:
        return "matched", ""
    same_usage = "the usage is the same" if has_quantities else "only money is stated"
    ratio = f"{CONTEXT.divide(theirs.cost_usd.number, cost_usd):.4f}" if cost_usd else "more than 0"
    return "price differs", f"{same_usage}, theirs is {ratio} of ours: a discount, a new price, or missing calls"


def _around_midnight(findings: Sequence[Finding]) -> list[Finding]:
    """Name the cause of two neighbouring days of which one lacks what the other has too much."""
    by_key = {(each.day, each.name): each for each in findings}
    return [_with_midnight(each, by_key) for each in findings]


def _with_midnight(finding: Finding, by_key: Mapping[Key, Finding]) -> Finding:
    if finding.outcome not in {"missing spans", "extra spans"} or not finding.quantities:
        return finding
    for step in (timedelta(days=-1), timedelta(days=1)):
        other = by_key.get((finding.day + step, finding.name))
        if (
            other is not None
            and other.quantities
            and all(_off(finding, unit) == -_off(other, unit) for unit in finding.quantities)
        ):
            cause = f"the same is off the other way on {other.day}: calls around midnight are counted on another day"
            return Finding(
                day=finding.day,
                name=finding.name,
                outcome=finding.outcome,
                cause=cause,
                our_cost_usd=finding.our_cost_usd,
                their_cost_usd=finding.their_cost_usd,
                quantities=finding.quantities,
            )
    return finding


def _off(finding: Finding, unit: str) -> Decimal:
    ours, theirs = finding.quantities.get(unit, (ZERO, ZERO))
    return theirs - ours
