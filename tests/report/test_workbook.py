"""Sheets as workbooks and as HTML: read by another program, the figures are those of the sheet."""

import subprocess
from decimal import Decimal as D
from html.parser import HTMLParser
from pathlib import Path

from cost_exporter.report.forms import html_form
from cost_exporter.report.sheet import Sheet
from cost_exporter.report.workbook import write_workbook
from tests.instrumentation.older_sdks import Older, environment_for

SHEET = Sheet(
    title="Spend",
    columns=("model", "cost_usd"),
    rows=(("=cmd()", "0.1"), ("b", "12345678901234.123456789012"), ("<b>c</b>", ""), ("d", "0.000000000001")),
    right_aligned=frozenset({"cost_usd"}),
    total="total $12345678901234.223456789013",
)
READ = """
import sys, openpyxl, json
page = openpyxl.load_workbook(sys.argv[1]).active
print(json.dumps([[None if cell is None else repr(cell) if isinstance(cell, (int, float)) else cell for cell in row]
                  for row in page.iter_rows(values_only=True)]))
"""
OPENPYXL = Older(release="openpyxl==3.1.5", module="")


def test_a_workbook_has_every_digit(tmp_path: Path) -> None:
    """Numbers where a workbook holds them exactly, text where it would round; a name is no formula."""
    import json

    path = tmp_path / "spend.xlsx"
    write_workbook(SHEET, path, figures=frozenset({"cost_usd"}))
    command = [str(environment_for(OPENPYXL)), "-c", READ, str(path)]
    read = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert read[0] == ["model", "cost_usd"]
    assert [row[0] for row in read[1:]] == ["'=cmd()", "b", "<b>c</b>", "d"]
    known = [row[1] for row in read[1:] if row[1] is not None]
    assert sum(map(D, known)) == sum(D(cell) for _, cell in SHEET.rows if cell)


class Cells(HTMLParser):
    """The text of every cell."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "td":
            self.found.append("")

    def handle_data(self, data: str) -> None:
        if self.found and data.strip():
            self.found[-1] += data


def test_html_has_the_cells_and_runs_nothing() -> None:
    """What a name contains is text, and nothing is loaded."""
    page = html_form(SHEET)
    cells = Cells()
    cells.feed(page.split("</table>")[0])
    assert [(cells.found[i], cells.found[i + 1]) for i in range(0, len(cells.found), 2)] == list(SHEET.rows)
    assert "<b>" not in page
    assert "src=" not in page
    assert SHEET.total in page
