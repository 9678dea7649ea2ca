"""A sheet as an XLSX workbook, with the extra `finance`.

A cell of a workbook holds a binary number of 15 digits. A figure that fits is a number, so that it can be added up;
one that does not is text with all of its digits, because a rounded one would look exact.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from cost_exporter.errors import CallfareError, MissingExtra
from cost_exporter.report.sheet import Sheet
from cost_exporter.safe_text import for_spreadsheet

__all__ = ["write_workbook"]

_DIGITS_MAX: Final = 15


def write_workbook(sheet: Sheet, path: Path, *, figures: frozenset[str]) -> None:
    """Write a sheet whose columns `figures` hold decimal texts. Raises `MissingExtra`."""
    try:
        import xlsxwriter  # noqa: PLC0415 - only where a workbook is written
        import xlsxwriter.exceptions  # noqa: PLC0415 - same
    except ImportError as error:
        raise MissingExtra("a workbook", "finance") from error
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book: Any = xlsxwriter.Workbook(path, options)
    _fill(book, sheet, figures)
    try:
        book.close()
    except (OSError, xlsxwriter.exceptions.XlsxFileError) as error:
        raise CallfareError(f"{path} cannot be written ({error}); name another file") from error


def _fill(book: Any, sheet: Sheet, figures: frozenset[str]) -> None:
    page: Any = book.add_worksheet("Spend")
    page.write_row(0, 0, sheet.columns, book.add_format({"bold": True}))
    page.freeze_panes(1, 0)
    for at, row in enumerate(sheet.rows, start=1):
        for column, (name, cell) in enumerate(zip(sheet.columns, row, strict=True)):
            number = _number(cell) if name in figures else None
            if number is not None:
                page.write_number(at, column, number)
            elif cell:
                page.write_string(at, column, for_spreadsheet(cell))
    page.autofit()


def _number(cell: str) -> float | None:
    """Return the number that a workbook keeps exactly; None for text and for a figure of more digits."""
    if not cell:
        return None
    exact = Decimal(cell)
    if len(exact.normalize().as_tuple().digits) > _DIGITS_MAX:
        return None
    return float(exact)
