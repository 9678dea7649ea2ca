"""Compile price rows into rate cards: for one model, its conditions and its quantities, what each unit costs.

`PriceLookup` knows every row that could price a usage; `PriceLookup.rate_card` picks those in force at an instant and
caches the result, so that pricing is a few multiplications however many versions of a price are kept. Which row
prices a unit is decided here and nowhere else, in the order of rule 19 (a cost that a trusted source stated comes
before any row, see `book.py`):

1. API key, tenant, operator, curated list, imported list;
2. most conditions met; a time window over none; exact over prefix over pattern; highest context tier
   reached; latest start.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact
from typing import NamedTuple

from cost_exporter.domain.money import CONTEXT, LINE_PLACES, ceil_to_multiple, quantise_line
from cost_exporter.domain.pricing.match import Candidate
from cost_exporter.domain.pricing.rows import LIST, Factor, PriceRow, Window
from cost_exporter.domain.quantity import FREE_WITHOUT_PRICE, TOKEN_QUANTITIES, Quantities
from cost_exporter.domain.quote import Rate
from cost_exporter.domain.usage import UsageRecord

__all__ = ["BookCandidates", "PriceLookup", "RateCard", "UnitPrice"]

_ONE = Decimal(1)
_LINE_EXPONENT = Decimal(1).scaleb(-LINE_PLACES)
_multiply, _quantise = CONTEXT.multiply, CONTEXT.quantize  # `quantise_line` without a call: the hot path
_TEXT_METERS: tuple[frozenset[str], ...] = (
    TOKEN_QUANTITIES,
    frozenset({"characters"}),
    frozenset({"credits"}),
    frozenset({"output_audio_seconds"}),
)
_AUDIO_METERS = (frozenset({"audio_seconds"}), frozenset({"session_seconds"}))
_CALL_METERS = (frozenset({"call_seconds"}), frozenset({"session_seconds"}))
_METER_GROUPS = (_TEXT_METERS, _AUDIO_METERS, _CALL_METERS)
_METERS = frozenset[str]().union(*_TEXT_METERS, *_AUDIO_METERS)
_CONTEXT_EXACT = CONTEXT.copy()
_CONTEXT_EXACT.traps[Inexact] = True


class UnitPrice:
    """The price of one unit, ready to multiply."""

    __slots__ = (
        "_one_usd",
        "bill_on_error",
        "increment",
        "is_plain",
        "issue",
        "minimum",
        "multiplier",
        "rate",
        "rounds_by_session",
    )

    def __init__(self, row: PriceRow, scale: Decimal, plan_name: str, unit: str = "") -> None:
        """Take the row, the factor on it, and the plan the usage states; and the unit, where it is not the row's."""
        is_listed = scale == _ONE
        price_usd = row.price_usd if is_listed else CONTEXT.multiply(row.price_usd, scale)
        price_id = row.price_id if is_listed else f"{row.price_id} x {scale}"
        self.rate = Rate(unit or row.unit, price_usd, row.per, price_id)
        self.rounds_by_session = row.round_scope == "session"
        self.increment = row.increment
        self.minimum = row.minimum
        self.multiplier = row.multiplier
        self.bill_on_error = row.bill_on_error
        self.is_plain = row.increment is None and row.minimum is None and not row.multiplier
        self.issue = _assumption(row, plan_name)
        self._one_usd = _exact_quotient(price_usd, row.per)

    def billed(self, quantity: Decimal, usage: UsageRecord) -> Decimal:
        """Return the quantity after increment, minimum and multiplier.

        Where rounding is by the session, a delta is billed for what it adds to the rounded session: the deltas
        then add up to the session rounded once.
        """
        if not self.rounds_by_session or usage.session_before is None:
            return self._rounded(quantity, usage.quantities)
        before = Decimal(usage.session_before.get(self.rate.unit, 0))
        so_far = self._rounded(CONTEXT.add(before, quantity), usage.quantities)
        return CONTEXT.subtract(so_far, self._rounded(before, usage.quantities))

    def _rounded(self, quantity: Decimal, quantities: Quantities) -> Decimal:
        if self.increment is not None and quantity > 0:
            quantity = ceil_to_multiple(quantity, self.increment)
        # Nothing used is nothing billed, unless the usage says that a call was answered.
        if self.minimum is not None and (quantity > 0 or quantities.get("calls")):
            quantity = max(quantity, self.minimum)
        if self.multiplier and self.multiplier in quantities:
            quantity = CONTEXT.multiply(quantity, Decimal(quantities[self.multiplier]))
        return quantity

    def amount_usd(self, billed_quantity: Decimal) -> Decimal:
        """Return what this quantity costs, quantised: the only rounding there is."""
        if self._one_usd is not None:
            return _quantise(_multiply(billed_quantity, self._one_usd), _LINE_EXPONENT)
        _, price_usd, per, _ = self.rate
        assert price_usd is not None
        assert per is not None
        return quantise_line(CONTEXT.divide(CONTEXT.multiply(billed_quantity, price_usd), per))


def _exact_quotient(price_usd: Decimal, per: Decimal) -> Decimal | None:
    """Return the price of one unit where it is a finite decimal; 0.111 per 3600 is not."""
    try:
        return _CONTEXT_EXACT.divide(price_usd, per)
    except Inexact:
        return None


def _assumption(row: PriceRow, plan_name: str) -> str:
    subject, _, assumed = row.assumed.partition(": ")
    if not assumed or (subject == "plan" and plan_name == assumed.lower()):
        return ""
    unlisted = f" (no price for plan {plan_name!r})" if subject == "plan" and plan_name else ""
    return f"assumed_{subject}: {assumed}{unlisted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """The price of each unit for one kind of usage at one time."""

    steps: Mapping[str, UnitPrice]
    silent: frozenset[str]
    """Units that cost nothing without a row: alternative meters that are not the basis, and free ones."""
    issues: tuple[str, ...] = ()
    is_estimated: bool = False
    is_incomplete: bool = False
    """Whether more is billed than the quantities of such usages show."""
    is_known: bool = True
    """Whether any row at all is in force for the model."""
    is_override: bool = False
    """Whether an operator's, tenant's or API key's price takes part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookCandidates:
    """One book in force for a usage: its candidates and its factors."""

    book: str
    candidates: Sequence[Candidate]
    factors: Sequence[Factor] = ()


class _Chosen(NamedTuple):
    row: PriceRow
    level: int
    scale: Decimal


class PriceLookup:
    """Every row that could price usages of one kind, and the plans made from them so far."""

    def __init__(
        self,
        levels: Sequence[BookCandidates],
        *,
        unit_names: Iterable[str],
        context: Mapping[str, str],
        issues: tuple[str, ...] = (),
        is_estimated: bool = False,
        is_incomplete: bool = False,
        scale: Decimal = _ONE,
    ) -> None:
        """Take the books in order of precedence, the quantities present and the conditions as stated."""
        self._levels = [_satisfied(level, context) for level in levels]
        self._unit_names = frozenset(unit_names)
        self._context = context
        self._issues = issues
        self._is_estimated = is_estimated
        self._is_incomplete = is_incomplete
        self._scale = scale
        self._boundaries = sorted({instant for level in self._levels for instant in _changes(level)})
        self._segments: dict[int, _Segment] = {}

    def rate_card(self, at_unix_ns: int, quantities: Quantities) -> RateCard:
        """Return the plan in force at this instant for a usage of this size."""
        index = bisect_right(self._boundaries, at_unix_ns)
        segment = self._segments.get(index)
        if segment is None:
            segment = self._segments[index] = _Segment(self._levels, at_unix_ns)
        state = segment.state(at_unix_ns, quantities) if segment.is_stateful else ()
        plan = segment.plans.get(state)
        if plan is None:
            plan = segment.plans[state] = self._compile(segment.active(at_unix_ns, quantities))
        return plan

    def _compile(self, levels: Sequence[BookCandidates]) -> RateCard:
        chosen = _choose(levels, self._scale)
        basis = _basis(chosen, self._unit_names)
        plan_name = self._context["plan"]
        steps = {
            unit: UnitPrice(choice.row, choice.scale, plan_name)
            for unit, choice in chosen.items()
            if unit not in basis.ignored
        }
        if "cache_write_tokens" in steps and "cache_write_5m_tokens" not in steps:
            # A cache write lasts five minutes unless another duration is stated.
            choice = chosen["cache_write_tokens"]
            steps["cache_write_5m_tokens"] = UnitPrice(choice.row, choice.scale, plan_name, "cache_write_5m_tokens")
        kept = [choice.row for unit, choice in chosen.items() if unit in steps]
        is_guessed = any(_stands_in(chosen[unit].row) for unit in steps.keys() & chosen.keys() & self._unit_names)
        unmatched = _unmatched(kept, self._context, self._unit_names)
        return RateCard(
            steps=steps,
            silent=basis.silent | FREE_WITHOUT_PRICE,
            issues=self._issues + unmatched,
            is_estimated=self._is_estimated or is_guessed or bool(unmatched),
            is_incomplete=self._is_incomplete,
            is_known=any(level.candidates for level in levels),
            is_override=any(level.book != LIST and (level.candidates or level.factors) for level in levels),
        )


class _Segment:
    """A span of time in which no row starts or ends; windows and context tiers still vary within it."""

    def __init__(self, levels: Sequence[BookCandidates], at_unix_ns: int) -> None:
        self._levels = [_in_force(level, at_unix_ns) for level in levels]
        rows = [candidate.row for level in self._levels for candidate in level.candidates]
        self._windows = list({str(row.window): row.window for row in rows if row.window}.values())
        self._tiers = list({str(row.context_tier): row.context_tier for row in rows if row.context_tier}.values())
        self.is_stateful = bool(self._windows or self._tiers)
        self.plans: dict[tuple[bool, ...], RateCard] = {}

    def state(self, at_unix_ns: int, quantities: Quantities) -> tuple[bool, ...]:
        """Return which windows are open and which tiers reached."""
        open_windows = [window.is_open(at_unix_ns) for window in self._windows]
        return (*open_windows, *[tier.is_reached(quantities.get(tier.basis, 0)) for tier in self._tiers])

    def active(self, at_unix_ns: int, quantities: Quantities) -> list[BookCandidates]:
        """Return the levels with only the rows that apply."""
        return [_reached(level, at_unix_ns, quantities) for level in self._levels]


def _changes(level: BookCandidates) -> Iterable[int]:
    for dated in (*level.candidates, *level.factors):
        yield dated.valid_from_unix_ns
        yield dated.valid_to_unix_ns


def _satisfied(level: BookCandidates, context: Mapping[str, str]) -> BookCandidates:
    """Keep the rows all of whose conditions the usage meets."""
    kept = [one for one in level.candidates if all(context[name] == wanted for name, wanted in one.row.when)]
    return BookCandidates(book=level.book, candidates=kept, factors=level.factors)


def _in_force(level: BookCandidates, at_unix_ns: int) -> BookCandidates:
    """Keep the rows and factors valid at this instant."""
    return BookCandidates(
        book=level.book,
        candidates=[c for c in level.candidates if c.valid_from_unix_ns <= at_unix_ns < c.valid_to_unix_ns],
        factors=[f for f in level.factors if f.valid_from_unix_ns <= at_unix_ns < f.valid_to_unix_ns],
    )


def _reached(level: BookCandidates, at_unix_ns: int, quantities: Quantities) -> BookCandidates:
    """Keep the rows whose window is open and whose context tier is reached."""
    kept = [
        one
        for one in level.candidates
        if _is_open(one.row.window, at_unix_ns)
        and (
            one.row.context_tier is None
            or one.row.context_tier.is_reached(quantities.get(one.row.context_tier.basis, 0))
        )
    ]
    return BookCandidates(book=level.book, candidates=kept, factors=level.factors)


def _is_open(window: Window | None, at_unix_ns: int) -> bool:
    return window is None or window.is_open(at_unix_ns)


def _choose(levels: Sequence[BookCandidates], scale: Decimal) -> dict[str, _Chosen]:
    """Walk the books in order of precedence and take for each unit the first that prices it."""
    chosen: dict[str, _Chosen] = {}
    for index, level in enumerate(levels):
        _add(chosen, level, index, scale)
        if level.factors:
            factor = CONTEXT.multiply(scale, _most_specific(level.factors).factor)
            for list_index, listed in enumerate(levels):
                if listed.book == LIST:
                    _add(chosen, listed, list_index, factor)
            break
        if level.book != LIST and level.candidates and not any(one.row.inherits_list for one in level.candidates):
            break
    return chosen


def _add(chosen: dict[str, _Chosen], level: BookCandidates, index: int, scale: Decimal) -> None:
    """Take the best row of this book for every unit not priced yet."""
    best: dict[str, Candidate] = {}
    for candidate in level.candidates:
        unit = candidate.row.unit
        if unit not in best or _precedence(candidate) <= _precedence(best[unit]):
            best[unit] = candidate
    for unit, candidate in best.items():
        chosen.setdefault(unit, _Chosen(candidate.row, index, scale))


def _precedence(candidate: Candidate) -> tuple[int, bool, tuple[int, int, int], int, int]:
    """Sort key: least wins. Of two equal ones the later loaded wins."""
    row = candidate.row
    tier = -1 if row.context_tier is None else row.context_tier.above
    return (-len(row.when), row.window is None, candidate.rank, -tier, -candidate.valid_from_unix_ns)


def _most_specific(factors: Sequence[Factor]) -> Factor:
    """The factor that names a model over one that names a provider over a general one; then the latest."""
    return max(factors, key=lambda f: (bool(f.model), bool(f.provider), f.valid_from_unix_ns))


class _Basis(NamedTuple):
    ignored: frozenset[str]
    silent: frozenset[str]


def _stands_in(row: PriceRow) -> bool:
    """Whether a row prices what can be measured where the vendor bills by something else and did not report it."""
    return row.assumed.startswith("meter: ")


def _basis(chosen: Mapping[str, _Chosen], unit_names: frozenset[str]) -> _Basis:
    """Decide between alternative meters of one service, which are never summed.

    The book of the highest precedence decides; within it tokens, then characters, then credits, then seconds.
    A price that replaces a meter the vendor did not report gives way to every real one.
    """
    priced = {unit: choice.level for unit, choice in chosen.items() if unit in unit_names}
    stand_ins = {unit for unit in priced if _stands_in(chosen[unit].row)}
    ignored: set[str] = stand_ins if priced.keys() & _METERS - stand_ins else set()
    for group in _METER_GROUPS:
        levels = [min((priced[unit] for unit in meter if unit in priced), default=None) for meter in group]
        ranked = sorted((level, order) for order, level in enumerate(levels) if level is not None)
        for _, order in ranked[1:]:
            ignored |= group[order]
    used = (priced.keys() & _METERS) - ignored
    silent = set(ignored)
    if used:
        silent |= _METERS - {"call_seconds"}
    if used & TOKEN_QUANTITIES:
        silent -= TOKEN_QUANTITIES
    return _Basis(frozenset(ignored), frozenset(silent))


def _unmatched(rows: Sequence[PriceRow], context: Mapping[str, str], unit_names: frozenset[str]) -> tuple[str, ...]:
    """Say which stated condition no list price answers to: the standard price is then an estimate."""
    if any(row.book != LIST for row in rows):
        return ()
    has_tokens = any(row.unit in TOKEN_QUANTITIES & unit_names for row in rows)
    issues: list[str] = []
    for name, standard in (("service_tier", "standard"), ("speed", ""), ("mode", "")):
        stated = context[name]
        is_special = stated != standard and (name != "mode" or (stated == "batch" and has_tokens))
        if rows and is_special and not any(name == condition for row in rows for condition, _ in row.when):
            issues.append(f"unmatched_{name}: no price for {stated!r}, priced as standard")
    return tuple(issues)
