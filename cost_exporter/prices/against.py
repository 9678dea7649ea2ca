"""Compare the book with another list of prices: where they disagree, by how much, and how old each figure is.

Nothing is imported: a disagreement is for a person to settle, by a curated row that names both sources.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import PriceRow
from cost_exporter.domain.usage import UsageRecord

__all__ = ["Comparison", "Disagreement", "compare"]

_MILLION: Final = 1_000_000
_QUANTITY: Final = 1_000
"""Below every context tier."""
_SAME_PERCENT: Final = Decimal("0.1")
"""Other lists round prices by the second; what differs by less is the same price."""
_TOTAL_OF: Final = {
    **dict.fromkeys(
        (
            *("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
            *("input_audio_tokens", "cache_audio_read_tokens", "input_image_tokens", "cache_image_read_tokens"),
            "input_video_tokens",
        ),
        "input_tokens",
    ),
    **dict.fromkeys(("output_audio_tokens", "output_image_tokens", "reasoning_tokens"), "output_tokens"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One unit of one model that costs something else there."""

    theirs: PriceRow
    ours_usd: Decimal
    """For one unit."""
    ours_price_id: str
    ours_checked: str

    @property
    def theirs_usd(self) -> Decimal:
        """For one unit."""
        return self.theirs.price_usd / self.theirs.per

    def as_json(self) -> dict[str, Any]:
        """Return the disagreement as JSON: prices for a million units."""
        return {
            "provider": self.theirs.provider,
            "model": self.theirs.model,
            "unit": self.theirs.unit,
            "conditions": dict(self.theirs.when),
            "per": str(_MILLION),
            "ours": _for_million(self.ours_usd),
            "ours_checked": self.ours_checked or None,
            "ours_price_id": self.ours_price_id,
            "theirs": _for_million(self.theirs_usd),
            "theirs_checked": self.theirs.checked or None,
            "theirs_source": self.theirs.source,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of comparing a book with a list."""

    disagreements: list[Disagreement]
    equal_count: int
    unknown_here_count: int
    """Prices of theirs for which the book has none at all."""


def compare(book: PriceBook, rows: Iterable[PriceRow], *, at_unix_ns: int, transcription_mode: str = "") -> Comparison:
    """Return where the rows that hold at an instant differ from what the book would bill for the same.

    `transcription_mode` is what a list means by its plain price of a second: some list streams, some batches.
    """
    checked = {row.price_id: row.checked for row in book.rows}
    disagreements: list[Disagreement] = []
    equal_count = unknown_here_count = 0
    for theirs in _comparable(rows, at_unix_ns):
        found = _ours(book, theirs, at_unix_ns, transcription_mode)
        if found is None:
            unknown_here_count += 1
            continue
        ours_usd, price_id = found
        other = Disagreement(
            theirs=theirs, ours_usd=ours_usd, ours_price_id=price_id, ours_checked=checked.get(price_id, "")
        )
        if _is_same(ours_usd, other.theirs_usd):
            equal_count += 1
        else:
            disagreements.append(other)
    return Comparison(
        disagreements=sorted(disagreements, key=lambda one: (one.theirs.provider, one.theirs.model, one.theirs.unit)),
        equal_count=equal_count,
        unknown_here_count=unknown_here_count,
    )


def _comparable(rows: Iterable[PriceRow], at_unix_ns: int) -> Iterator[PriceRow]:
    """Yield the rows that hold at this instant for any size and any time of the week."""
    for row in rows:
        is_valid = row.valid_from_unix_ns <= at_unix_ns < row.valid_to_unix_ns
        if is_valid and row.match == "exact" and row.context_tier is None and row.window is None:
            yield row


def _ours(book: PriceBook, theirs: PriceRow, at_unix_ns: int, transcription_mode: str) -> tuple[Decimal, str] | None:
    """Return what one unit costs here and by which row; None where nothing prices it."""
    quantities = {theirs.unit: _QUANTITY}
    total = _TOTAL_OF.get(theirs.unit)
    if total:
        quantities = {total: _QUANTITY} | quantities
    conditions: dict[str, Any] = dict(theirs.when)
    if theirs.unit == "audio_seconds":
        conditions.setdefault("mode", transcription_mode)
    usage = UsageRecord(
        provider=theirs.provider, model=theirs.model, quantities=quantities, at_unix_ns=at_unix_ns, **conditions
    )
    for line in book.price(usage).lines:
        if line.unit == theirs.unit and line.unit_price_usd is not None and line.per is not None:
            return line.unit_price_usd / line.per, line.price_id
    return None


def _is_same(ours_usd: Decimal, theirs_usd: Decimal) -> bool:
    return abs(ours_usd - theirs_usd) * 100 <= _SAME_PERCENT * max(ours_usd, theirs_usd)


def _for_million(price_usd: Decimal) -> str:
    return to_plain((price_usd * _MILLION).quantize(Decimal("1e-6")).normalize())
