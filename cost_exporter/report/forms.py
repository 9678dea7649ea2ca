"""The forms of a report: one sheet of text cells, written as a terminal table, markdown, HTML or CSV.

A sheet is made once per report; the forms only lay it out. So all of them show the same figures. A table that is
wider than the terminal folds its columns together, in the order that the report states, until it fits: nothing is
left out, no figure is cut off and no id is broken. What a name contains is made safe here, for each form.
"""

import csv
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len, chop_cells

from cost_exporter.report.sheet import Fold, Sheet, folded, with_cells, with_points_aligned
from cost_exporter.safe_text import for_markdown, for_spreadsheet, for_terminal

__all__ = ["Fold", "Sheet", "csv_form", "html_form", "markdown_form", "table_form"]

_TEXT_WIDTH_MIN = 12
"""A column of text may be wrapped to this where the terminal is narrow; one of figures or ids never is."""
_TEXT_WIDTH_FAIR = 24
"""Rather than wrap text to less than this, columns are folded together."""
_GAP = "  "
_ID = re.compile(r"\b[0-9a-f]{32}\b")
"""A trace id, also within a text: it is never split, so that it can be copied."""
_BETWEEN_FIGURES = ", "
"""Where a cell of several figures may be broken, as `1,341 tokens, 60 s call`: never within one of them."""


def table_form(sheet: Sheet, *, width: int | None = None) -> str:
    """Return the sheet as a table for a terminal so wide; as wide as it is where no width is given."""
    shown = _fitting(with_cells(sheet, for_terminal), width)
    shown = with_points_aligned(shown)
    widths = _column_widths(shown, width)
    lines = [
        *_row_lines(shown, shown.columns, widths),
        _GAP.join("─" * each for each in widths),
        *[line for row in shown.rows for line in _row_lines(shown, row, widths)],
    ]
    table_width = len(lines[1])
    total = [shown.total.rjust(table_width)] if shown.total else []
    title = [shown.title, ""] if shown.title else []
    return "\n".join([*title, *lines, *([""] if total else []), *total])


def markdown_form(sheet: Sheet) -> str:
    """Return the sheet as a markdown table under a heading."""
    rules = ["---:" if column in sheet.right_aligned else "---" for column in sheet.columns]
    lines = [_markdown_row(sheet.columns), "| " + " | ".join(rules) + " |", *map(_markdown_row, sheet.rows)]
    return f"## {for_markdown(sheet.title)}\n\n" + "\n".join(lines) + f"\n\n**{sheet.total}**\n"


def html_form(sheet: Sheet) -> str:
    """Return the sheet as a page of its own, which loads nothing."""
    head = "".join(f"<th scope=col>{_html(name)}</th>" for name in sheet.columns)
    rows = "\n".join(f"<tr>{_html_cells(sheet, row)}</tr>" for row in sheet.rows)
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{_html(sheet.title)}</title>\n"
        "<style>body{font:1rem/1.5 system-ui;margin:2rem}table{border-collapse:collapse}th,td{padding:.2rem .8rem;"
        "text-align:left;border-bottom:1px solid #ccc}.figure{text-align:right}</style>\n"
        f"<h1>{_html(sheet.title)}</h1>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n"
        f"<p><strong>{_html(sheet.total)}</strong></p>\n</html>\n"
    )


def _html_cells(sheet: Sheet, row: Sequence[str]) -> str:
    kinds = [" class=figure" if name in sheet.right_aligned else "" for name in sheet.columns]
    return "".join(f"<td{kind}>{_html(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))


def _html(text: str) -> str:
    return html.escape(for_terminal(text))


def csv_form(sheet: Sheet) -> str:
    """Return the sheet as CSV without title and total: each line is a row, so that programs can add it up."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows([for_spreadsheet(cell) for cell in row] for row in sheet.rows)
    return text.getvalue()


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(for_markdown, cells)) + " |"


def _fitting(sheet: Sheet, width: int | None) -> Sheet:
    """Return the sheet with as few columns folded as make it fit."""
    for fold in sheet.folds:
        if width is None or _table_width(_natural_widths(sheet, text_width_max=_TEXT_WIDTH_FAIR)) <= width:
            break
        sheet = folded(sheet, fold)
    return sheet


def _column_widths(sheet: Sheet, width: int | None) -> list[int]:
    """Return how wide each column becomes. What is missing is taken from the widest columns of text, bit by bit."""
    widths = _natural_widths(sheet)
    least = [
        min(own, _figure_width(sheet, index))
        for index, own in enumerate(_natural_widths(sheet, text_width_max=_TEXT_WIDTH_MIN))
    ]
    while width is not None and _table_width(widths) > width:
        spare = [own if own > minimum else 0 for own, minimum in zip(widths, least, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def _natural_widths(sheet: Sheet, text_width_max: int | None = None) -> list[int]:
    rows = (sheet.columns, *sheet.rows)
    widths: list[int] = []
    for index, name in enumerate(sheet.columns):
        natural = max(cell_len(line) for row in rows for line in row[index].split("\n"))
        is_whole = text_width_max is None or _is_whole(sheet, name)
        ids = (len(found) for row in rows for found in _ID.findall(row[index]))
        widths.append(natural if is_whole else min(natural, max(text_width_max or natural, *ids, 0)))
    return widths


def _figure_width(sheet: Sheet, index: int) -> int:
    """Return what a column of figures takes where each figure of a cell has a line of its own."""
    rows = (sheet.columns, *sheet.rows)
    if sheet.columns[index] not in sheet.right_aligned:
        return _table_width(_natural_widths(sheet))
    return max(cell_len(part) for row in rows for line in row[index].split("\n") for part in _figures(line))


def _figures(line: str) -> list[str]:
    """Return the figures of a cell, each with the comma that stays behind it."""
    *firsts, last = line.split(_BETWEEN_FIGURES)
    return [*(f"{each}," for each in firsts), last]


def _is_whole(sheet: Sheet, column: str) -> bool:
    return column in sheet.right_aligned or column in sheet.unbroken


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _row_lines(sheet: Sheet, cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row: as many as its tallest cell has."""
    wrapped = [
        list(_wrapped(cell, width, _figures if name in sheet.right_aligned else str.split))
        for name, cell, width in zip(sheet.columns, cells, widths, strict=True)
    ]
    for lines in zip_longest(*wrapped, fillvalue=""):
        laid = [
            _pad(width - cell_len(line)) + line if name in sheet.right_aligned else line + _pad(width - cell_len(line))
            for name, line, width in zip(sheet.columns, lines, widths, strict=True)
        ]
        yield _GAP.join(laid).rstrip()


def _pad(count: int) -> str:
    return " " * max(0, count)


def _wrapped(cell: str, width: int, parts_of: Callable[[str], list[str]]) -> Iterator[str]:
    for line in cell.split("\n"):
        if cell_len(line) <= width:
            yield line
        else:
            yield from _parts_wrapped(parts_of(line), width)


def _parts_wrapped(parts: list[str], width: int) -> Iterator[str]:
    """Yield the parts of a line in lines of this width; a part that is longer is broken."""
    filled = ""
    for part in parts:
        for piece in chop_cells(part, width):
            joined = f"{filled} {piece}" if filled else piece
            if cell_len(joined) <= width:
                filled = joined
            else:
                yield filled
                filled = piece
    yield filled
