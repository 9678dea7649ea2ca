"""Lint a price book: prices that are probably wrong, although they load.

A wrong price that looks right is the worst fault this software can have. So an override is held against the
list: ten times off names both rows, and the usual slips (cents read as dollars, per 1,000 for per 1,000,000)
are named for what they look like. Overrides that leave quantities unpriced are named too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.match import Candidate, matches_empty_name
from cost_exporter.domain.pricing.rows import LIST, PriceRow
from cost_exporter.domain.quantity import FREE_WITHOUT_PRICE, TOKEN_QUANTITIES

__all__ = ["LintFinding", "lint_book", "lint_rows"]

_FACTOR_MAX: Final = Decimal(10)
_SLIP_TOLERANCE: Final = Decimal("1.5")
_SECONDS_PER_HOUR: Final = Decimal(3600)
_CEILING_USD: Final[dict[str, Decimal]] = {
    # Higher than any price ever published, per one unit; a misplaced decimal point exceeds it.
    **dict.fromkeys(TOKEN_QUANTITIES, Decimal("0.001")),
    "characters": Decimal("0.001"),
    "credits": Decimal("0.01"),
    "audio_seconds": Decimal("0.005"),
    "session_seconds": Decimal("0.005"),
    "call_seconds": Decimal("0.01"),
    "output_audio_seconds": Decimal("0.01"),
    "charge_usd": Decimal("0.2"),
    "charges": Decimal(5),
}
_CONFIDENT: Final = frozenset({"high", "medium", "low"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One thing to look at."""

    severity: str
    """`warning`: probably wrong; `error`: certainly incomplete."""
    code: str
    text: str
    price_id: str

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {"severity": self.severity, "code": self.code, "text": self.text, "price_id": self.price_id}


def lint_book(book: PriceBook) -> list[LintFinding]:
    """Return what is to be looked at in a whole book."""
    return lint_rows(book, [row for row in book.rows if not row.is_imported])


def lint_rows(book: PriceBook, rows: Iterable[PriceRow]) -> list[LintFinding]:
    """Return what is to be looked at among these rows, held against the list prices of `book`."""
    findings: list[LintFinding] = []
    overrides: dict[tuple[str, str, str], list[PriceRow]] = {}
    for row in rows:
        findings += _alone(row)
        findings += _against_list(book, row)
        if row.book != LIST:
            overrides.setdefault((row.book, row.provider, row.model), []).append(row)
    for group in overrides.values():
        findings += _completeness(book, group)
    return findings


def _alone(row: PriceRow) -> Iterable[LintFinding]:
    """Findings about a row on its own."""
    if row.book == LIST and not row.is_imported and not (row.source and row.checked and row.confidence in _CONFIDENT):
        yield _error("no_source", row, "a shipped row needs source, checked and confidence")
    if matches_empty_name(row):
        text = f"the pattern {row.model!r} matches an empty name, which no price applies to; write one that cannot"
        yield _warning("empty_name", row, text)
    ceiling = _CEILING_USD.get(row.unit)
    if ceiling is not None and row.price_usd / row.per > ceiling:
        unit_price = to_plain(row.price_usd / row.per)
        yield _warning("implausible", row, f"${unit_price} for one of {row.unit} is higher than any published price")


def _against_list(book: PriceBook, row: PriceRow) -> Iterable[LintFinding]:
    """A row more than ten times off the list row for the same thing."""
    listed = _list_row(book, row)
    if listed is None or not listed.price_usd or not row.price_usd:
        return
    ratio = (row.price_usd / row.per) / (listed.price_usd / listed.per)
    if ratio > _FACTOR_MAX or ratio * _FACTOR_MAX < 1:
        times = f"{_short(ratio)} times" if ratio >= 1 else f"1/{_short(1 / ratio)} of"
        yield _warning("off_list", row, f"{row} is {times} the list price {listed}{_slip(ratio)}")


def _slip(ratio: Decimal) -> str:
    """Name the slip a ratio looks like."""
    slips: Sequence[tuple[Decimal, str]] = (
        (Decimal(100), "; looks like cents written as dollars"),
        (Decimal(1000), "; looks like a price per 1,000 written as one per 1,000,000, or the other way round"),
        (Decimal(60), "; looks like a price per minute written as one per second, or the other way round"),
        (_SECONDS_PER_HOUR, "; looks like a price per hour written as one per second, or the other way round"),
        (Decimal(1_000_000), "; looks like a price per 1,000,000 written as one per 1"),
    )
    size = max(ratio, 1 / ratio)
    away, text = min((max(size / slip, slip / size), text) for slip, text in slips)
    return text if away <= _SLIP_TOLERANCE else ""


def _short(ratio: Decimal) -> str:
    return to_plain(ratio.quantize(Decimal(1)) if ratio > _FACTOR_MAX else ratio.quantize(Decimal("0.1")))


def _list_row(book: PriceBook, row: PriceRow) -> PriceRow | None:
    """Return the list row that prices the same unit of the same model, with the most similar conditions."""
    in_list = [one for one in _listed(book, row) if one.row.unit == row.unit and one.row is not row]
    if row.book == LIST:
        in_list = [one for one in in_list if one.row.is_imported]
    conditions = set(row.when)

    def likeness(candidate: Candidate) -> tuple[bool, int, bool, int]:
        """Least is most alike."""
        other = candidate.row
        differing = len(conditions ^ set(other.when))
        return (other.context_tier != row.context_tier, differing, other.is_imported, -candidate.valid_from_unix_ns)

    return min(in_list, key=likeness).row if in_list else None


def _listed(book: PriceBook, row: PriceRow) -> list[Candidate]:
    if row.match == "regex":
        return []
    candidates = book.prices_of(row.provider).candidates(row.provider, row.model)
    return [one for one in candidates if one.row.book == LIST]


def _completeness(book: PriceBook, group: Sequence[PriceRow]) -> Iterable[LintFinding]:
    """An override that leaves out quantities the list prices, and does not say what to inherit."""
    first = group[0]
    if first.inherits_list or any(factor.book == first.book for factor in book.factors):
        return
    priced = {row.unit for row in group}
    listed = {one.row.unit for one in _listed(book, first)} - FREE_WITHOUT_PRICE
    missing = sorted(listed - priced)
    if missing and listed & priced:
        yield _warning(
            "incomplete",
            first,
            f"{first.book} prices {first.provider} {first.model} without {', '.join(missing)}, which the list prices: "
            "calls that use them are partial; add rows, or write `inherit: list`",
        )


def _made(severity: str) -> Callable[[str, PriceRow, str], LintFinding]:
    def make(code: str, row: PriceRow, text: str) -> LintFinding:
        return LintFinding(severity=severity, code=code, text=text, price_id=row.price_id)

    return make


_warning = _made("warning")
_error = _made("error")
