"""Charts as SVG, drawn on the server: bars that stretch to the width of the page, their labels as text beside them.

A chart is an image with a name; the same figures are in a table on the page, for readers who cannot see
it or want digits. Heights are rounded to what can be seen: they are no figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from markupsafe import Markup

__all__ = ["Column", "axis_top", "stacked_bar", "stacked_columns", "time_bar"]

_HEIGHT: Final = Decimal(100)
_STEPS: Final = tuple(map(Decimal, ("1", "1.5", "2", "3", "4", "5", "6", "8", "10")))
_TITLE: Final = Markup("<title>{}</title>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a chart: its parts by series, from the bottom up."""

    label: str
    parts: Mapping[str, Decimal]
    text: str
    """The text that is shown when the pointer is on it."""


def axis_top(columns: Sequence[Column]) -> Decimal:
    """Return a round number that no column is higher than."""
    highest = max((sum(column.parts.values(), Decimal(0)) for column in columns), default=Decimal(0))
    if highest <= 0:
        return Decimal(1)
    unit = Decimal(1).scaleb(highest.adjusted())
    return next(step * unit for step in _STEPS if step * unit >= highest)


def stacked_columns(columns: Sequence[Column], series: Sequence[str], title: str) -> Markup:
    """Return columns side by side, each with its parts stacked in the order of the series."""
    top = axis_top(columns)
    shapes = Markup().join(_column(index, column, series, top) for index, column in enumerate(columns))
    grid = Markup().join(
        Markup('<line class="grid" x1="0" x2="{}" y1="{}" y2="{}"/>').format(len(columns) * 10, y, y)
        for y in (0, 50, 100)
    )
    return Markup(
        '<svg class="columns" role="img" aria-label="{}" viewBox="0 0 {} 100" preserveAspectRatio="none">{}{}</svg>'
    ).format(title, max(1, len(columns)) * 10, grid, shapes)


def stacked_bar(parts: Sequence[tuple[str, Decimal]], title: str) -> Markup:
    """Return one lying bar with its parts in order, by series and share."""
    whole = sum((amount for _, amount in parts), Decimal(0))
    if whole <= 0:
        return Markup()
    shapes, at = Markup(), Decimal(0)
    for series, amount in parts:
        width = 1000 * amount / whole
        shapes += Markup('<rect class="series-{}" x="{}" y="0" width="{}" height="10"/>').format(
            series, _short(at), _short(width)
        )
        at += width
    return Markup(
        '<svg class="bar" role="img" aria-label="{}" viewBox="0 0 1000 10" preserveAspectRatio="none">{}</svg>'
    ).format(title, shapes)


def time_bar(series: str, start: float, length: float) -> Markup:
    """Return when a call was, as shares of the whole time. Decoration: the row has the times as text."""
    at = min(max(start, 0.0), 1.0)
    width = max(min(length, 1.0 - at), 0.004)
    return Markup(
        '<svg class="bar time" aria-hidden="true" viewBox="0 0 1000 10" preserveAspectRatio="none">'
        '<rect class="series-{}" x="{}" y="1" width="{}" height="8" rx="2"/></svg>'
    ).format(series, f"{min(at, 0.996) * 1000:.0f}", f"{width * 1000:.0f}")


def _column(index: int, column: Column, series: Sequence[str], top: Decimal) -> Markup:
    shapes, base = Markup(), Decimal(0)
    for name in series:
        height = _HEIGHT * column.parts.get(name, Decimal(0)) / top
        if height <= 0:
            continue
        base += height
        shapes += Markup('<rect class="series-{}" x="{}" y="{}" width="8" height="{}"/>').format(
            name, index * 10 + 1, _short(_HEIGHT - base), _short(height)
        )
    hover = Markup('<rect class="hover" x="{}" y="0" width="10" height="100"/>').format(index * 10)
    return Markup("<g>{}{}{}</g>").format(_TITLE.format(column.text), shapes, hover)


def _short(length: Decimal) -> str:
    rounded = length.quantize(Decimal("0.01"), rounding=ROUND_CEILING)
    return f"{rounded:f}".rstrip("0").rstrip(".") or "0"
