"""A sheet: cells of text under column names, and how its columns fold together where they have too little room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

__all__ = ["Fold", "Sheet", "folded", "with_cells", "with_points_aligned", "without_empty"]

_DASH = "-"
"""The text of an unknown value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Several columns that become one where a table is too wide. Nothing is left out."""

    columns: tuple[str, ...]
    into: str
    """Name of the column in which all of them then stand, where the first of them was."""
    separator: str = ", "
    """Between what is not empty; a line end puts it below one another."""
    words: tuple[str, ...] = ()
    """The suffix of the cells of each column, such as the unit, where the column's name no longer has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Cells of text under column names, and the line that sums them up."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right_aligned: frozenset[str] = frozenset()
    """Names of the columns that hold figures. A figure is never broken over two lines."""
    point_aligned: frozenset[str] = frozenset()
    """Those of them whose decimal points stand below one another."""
    unbroken: frozenset[str] = frozenset()
    """Columns of text that is copied, such as ids: never broken either."""
    folds: tuple[Fold, ...] = ()
    """The columns that are folded together in a narrow terminal, in this order."""
    total: str = ""


def with_cells(sheet: Sheet, change: Callable[[str], str]) -> Sheet:
    """Return the sheet with each of its texts changed."""
    return replace(
        sheet,
        title=change(sheet.title),
        rows=tuple(tuple(map(change, row)) for row in sheet.rows),
        total=change(sheet.total),
    )


def folded(sheet: Sheet, fold: Fold) -> Sheet:
    """Return the sheet with some of its columns in one; as it is where it has fewer than two of them."""
    places = [sheet.columns.index(name) for name in fold.columns if name in sheet.columns]
    if len(places) < 2:  # noqa: PLR2004 - one column has nothing to be folded with
        return sheet
    words = {sheet.columns.index(name): word for name, word in _words(fold) if name in sheet.columns}
    names = [sheet.columns[place] for place in places]
    others = [index for index in range(len(sheet.columns)) if index not in places]
    at = sum(index < places[0] for index in others)

    def columns_of(cells: Sequence[str], together: str) -> tuple[str, ...]:
        kept = [cells[index] for index in others]
        return (*kept[:at], together, *kept[at:])

    def joined(row: Sequence[str]) -> str:
        stated = [place for place in places if row[place] not in {"", _DASH}]
        if not stated:
            return _DASH if any(row[place] for place in places) else ""
        return fold.separator.join(row[place] + words[place] for place in stated)

    rows = [columns_of(row, joined(row)) for row in sheet.rows]
    return replace(
        sheet,
        columns=columns_of(sheet.columns, fold.into),
        rows=tuple(rows),
        right_aligned=_inherited(sheet.right_aligned, names, fold.into, by=all),
        unbroken=_inherited(sheet.unbroken, names, fold.into, by=any),
        point_aligned=sheet.point_aligned - set(names),
    )


def without_empty(sheet: Sheet, names: frozenset[str]) -> Sheet:
    """Return the sheet without those of these columns in which no cell holds anything."""
    kept = [
        index
        for index, (name, cells) in enumerate(zip(sheet.columns, _columns(sheet), strict=True))
        if name not in names or any(cells)
    ]
    rows = tuple(tuple(row[index] for index in kept) for row in sheet.rows)
    return replace(sheet, columns=tuple(sheet.columns[index] for index in kept), rows=rows)


def with_points_aligned(sheet: Sheet) -> Sheet:
    """Return the sheet with its figures padded, so that right-aligned columns are aligned on the decimal point."""
    padded = [
        _padded(cells) if name in sheet.point_aligned else cells
        for name, cells in zip(sheet.columns, _columns(sheet), strict=True)
    ]
    return replace(sheet, rows=tuple(zip(*padded, strict=True)))


def _words(fold: Fold) -> list[tuple[str, str]]:
    return list(zip(fold.columns, fold.words or ("",) * len(fold.columns), strict=True))


def _inherited(
    marked: frozenset[str], names: Sequence[str], into: str, *, by: Callable[[list[bool]], bool]
) -> frozenset[str]:
    is_marked = by([name in marked for name in names])
    return marked - set(names) | ({into} if is_marked else frozenset())


def _columns(sheet: Sheet) -> list[tuple[str, ...]]:
    return [tuple(row[index] for row in sheet.rows) for index in range(len(sheet.columns))]


def _padded(cells: Sequence[str]) -> tuple[str, ...]:
    fractions = [len("".join(cell.partition(".")[1:])) for cell in cells]
    longest = max(fractions, default=0)
    return tuple(cell + " " * (longest - length) for cell, length in zip(cells, fractions, strict=True))
