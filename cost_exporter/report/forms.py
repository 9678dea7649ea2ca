"""The forms of a report: one sheet of text cells, written as a terminal table, markdown or CSV.

A sheet is made once per report; the forms only lay it out. So all of them show the same figures.
"""

import csv
import io
import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from cost_exporter.domain.value import value

__all__ = ["Sheet", "csv_form", "markdown_form", "table_form", "table_width_min"]

_NUMBER = re.compile(r"[-+]?\d[\d.]*")
_TEXT_WIDTH_MIN = 12
"""A column of text may be folded to this where the terminal is narrow; one of figures never is."""
_GAP_WIDTH = 3
"""Between columns, where there is room; else a blank."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@value
class Sheet:
    """Cells of text under column names, and the line that sums them up."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right_aligned: frozenset[str] = frozenset()
    """Names of the columns that hold figures."""
    total: str = ""


def table_form(sheet: Sheet, *, width: int | None = None) -> Table:
    """Return the sheet as a table for a terminal so wide. Cells are plain text: no markup in a name takes effect."""
    widths = _widths(sheet)
    is_tight = width is not None and width < sum(widths) + len(widths) * _GAP_WIDTH
    table = Table(
        padding=0 if is_tight else (0, 1),
        title=Text(sheet.title, style="bold"),
        caption=Text(sheet.total, style="bold"),
        title_justify="left",
        caption_justify="right",
        box=SIMPLE_HEAD,
    )
    for column, width_min in zip(sheet.columns, _widths_min(sheet, widths), strict=True):
        has_figures = column in sheet.right_aligned
        justify = "right" if has_figures else "left"
        table.add_column(column, justify=justify, no_wrap=has_figures, overflow="fold", min_width=width_min)
    for row in sheet.rows:
        table.add_row(*[Text(cell) for cell in row])
    return table


def table_width_min(sheet: Sheet) -> int:
    """Return how wide the table must be at least so that no figure is cut off."""
    return sum(width + 1 for width in _widths_min(sheet, _widths(sheet))) + 1


def _widths(sheet: Sheet) -> list[int]:
    cells = (sheet.columns, *sheet.rows)
    return [max(cell_len(row[index]) for row in cells) for index in range(len(sheet.columns))]


def _widths_min(sheet: Sheet, widths: Sequence[int]) -> list[int]:
    return [
        width if column in sheet.right_aligned else min(width, _TEXT_WIDTH_MIN)
        for column, width in zip(sheet.columns, widths, strict=True)
    ]


def markdown_form(sheet: Sheet) -> str:
    """Return the sheet as a markdown table under a heading."""
    rules = ["---:" if column in sheet.right_aligned else "---" for column in sheet.columns]
    lines = [_markdown_row(sheet.columns), _markdown_row(tuple(rules)), *[_markdown_row(row) for row in sheet.rows]]
    return f"## {_markdown_cell(sheet.title)}\n\n" + "\n".join(lines) + f"\n\n**{sheet.total}**\n"


def csv_form(sheet: Sheet) -> str:
    """Return the sheet as CSV without title and total: each line is a row, so that programs can add it up."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows([_harmless(cell) for cell in row] for row in sheet.rows)
    return text.getvalue()


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |"


def _markdown_cell(cell: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", cell) if not _NUMBER.fullmatch(cell) else cell
    return " ".join(escaped.split())


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: names come from whoever sends spans."""
    if cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell):
        return "'" + cell
    return cell
