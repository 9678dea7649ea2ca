"""How money, quantities and words are written on pages.

A figure is rounded for people and exact in its `value` and on hover. A column of figures has the same number of
places in every row, so that the eye compares lengths. Something unknown is a dash, never $0.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from markupsafe import Markup, escape

from cost_exporter.domain.money import to_plain
from cost_exporter.report.amounts import time_text, with_thousands

__all__ = [
    "LEG_WORDS",
    "STATUS_WORDS",
    "UNKNOWN",
    "at_least",
    "at_most",
    "column_places",
    "count",
    "duration_text",
    "figure",
    "in_figures",
    "moment",
    "percent",
]

UNKNOWN: Final = Markup('<span class="unknown" title="unknown: nothing of it is priced">-</span>')
_CENT_PLACES: Final = 4
_AMOUNT: Final = re.compile(r"\$(\d+(?:\.\d+)?)")
_PLACES_MIN: Final = 2
_PLACES_MAX: Final = 6
_AT_LEAST: Final = Markup('<span class="bound" title="at least this: a part of the cost is not known">≥</span> ')
_AT_MOST: Final = Markup('<span class="bound" title="at most this: a cost or a fee is not known">≤</span> ')

LEG_WORDS: Final = {
    "llm": "Language models",
    "tts": "Speech synthesis",
    "stt": "Speech recognition",
    "telephony": "Telephony",
    "vector": "Vector search",
    "other": "Other",
}
STATUS_WORDS: Final = {
    "priced": "Every quantity has a price.",
    "reported": "The provider's own figure.",
    "estimated": "An estimate: its reasons say what it rests on.",
    "partial": "The known part only: some quantities have no price, or were not stated.",
    "unpriced": "Unknown: no price applies.",
    "no_usage": "Unknown: nothing says what was used.",
    "invalid": "Unknown: the quantities cannot be right.",
    "duplicate": "Another span reports the same call and is billed for it.",
}


def in_figures(text: str) -> Markup:
    """Return a text in which each amount is a figure."""
    parts = _AMOUNT.split(text)
    amount = Markup('<data value="{}">${}</data>')
    return Markup().join(amount.format(part, part) if at % 2 else escape(part) for at, part in enumerate(parts))


def figure(cost_usd: Decimal, places: int | None = None) -> Markup:
    """Return a figure that shows cents for people and holds every digit for programs."""
    exact = to_plain(cost_usd)
    shown = ("-" if cost_usd < 0 else "") + _shown(abs(cost_usd), places)
    text = Markup('<data value="{}">{}</data>').format(exact, shown)
    shows_all = not shown.startswith("<") and Decimal(shown.replace("$", "").replace(",", "")) == cost_usd
    return text if shows_all else Markup('<span title="${}">{}</span>').format(exact, text)


def at_least(cost_usd: Decimal | None, unpriced_count: int, places: int | None = None) -> Markup:
    """Return a cost; a dash where it is unknown, a lower bound where a part of it is."""
    if cost_usd is None:
        return UNKNOWN
    return (_AT_LEAST if unpriced_count else Markup()) + figure(cost_usd, places)


def at_most(amount_usd: Decimal | None, *, is_bound: bool, places: int | None = None) -> Markup:
    """Return an amount that is less where a cost is not known."""
    if amount_usd is None:
        return UNKNOWN
    return (_AT_MOST if is_bound else Markup()) + figure(amount_usd, places)


def column_places(amounts_usd: Iterable[Decimal | None]) -> int:
    """Return how many places show two digits of the smallest amount of a column, within reason."""
    known = [abs(amount) for amount in amounts_usd if amount]
    smallest = min(known, default=Decimal(1))
    return min(_PLACES_MAX, max(_PLACES_MIN, 1 - smallest.adjusted()))


def count(number: Decimal | int | None) -> Markup:
    """Return a quantity with its thousands grouped, exact; nothing for none."""
    if not number:
        return Markup()
    exact = to_plain(Decimal(number))
    return Markup('<data value="{}">{}</data>').format(exact, with_thousands(exact))


def percent(part: Decimal, whole: Decimal) -> str:
    """Return a share for reading."""
    return "" if not whole else f"{100 * part / whole:.1f} %"


def duration_text(seconds: Decimal | float | None) -> str:
    """Return a duration as `1:05` minutes, or `850 ms` below ten seconds."""
    if seconds is None:
        return ""
    if seconds < 10:  # noqa: PLR2004 - below, minutes say too little
        return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def moment(instant: datetime | None) -> Markup:
    """Return an instant as people read it, in UTC."""
    if instant is None:
        return Markup()
    return Markup('<time datetime="{}">{}</time>').format(
        time_text(instant), f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    )


def _shown(amount_usd: Decimal, places: int | None) -> str:
    if places is None:
        return f"${_rounded(amount_usd)}"
    smallest = Decimal(1).scaleb(-places)
    if 0 < amount_usd < smallest / 2:
        return f"<${smallest:f}"
    return f"${amount_usd:,.{places}f}"


def _rounded(amount_usd: Decimal) -> str:
    """Return at least two places, and four digits of a small amount: half a cent is not $0.00."""
    if amount_usd == 0 or amount_usd >= 1:
        return f"{amount_usd:,.2f}"
    return f"{amount_usd:.{_CENT_PLACES - 1 - amount_usd.adjusted()}f}".rstrip("0").ljust(4, "0")
