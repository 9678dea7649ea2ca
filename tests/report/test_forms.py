import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cost_exporter.report.forms import Sheet, csv_form, markdown_form, table_form, table_width_min


def sheet(*cells: str) -> Sheet:
    return Sheet(
        title="Spend",
        columns=("model", "cost_usd"),
        rows=tuple((cell, "0.5") for cell in cells),
        right_aligned=frozenset({"cost_usd"}),
        total="total $0.5",
    )


def test_csv_cell_is_never_a_formula() -> None:
    """A model named like a formula reaches a spreadsheet as text; figures stay figures."""
    rows = list(csv.reader(io.StringIO(csv_form(sheet('=HYPERLINK("x")', "+1+2", "@sum", "-cmd", "-0.5")))))
    assert [row[0] for row in rows[1:]] == ['\'=HYPERLINK("x")', "'+1+2", "'@sum", "'-cmd", "-0.5"]


@given(st.text())
def test_csv_never_starts_a_cell_with_a_formula_sign(cell: str) -> None:
    """Whatever a span says, no cell but a number starts like a formula."""
    first = csv_form(sheet(cell)).split("\n", 1)[1].lstrip('"')
    if first[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        assert first[1:2].isdigit()


def test_csv_holds_rows_only() -> None:
    """A CSV has no title and no total, so that programs can add up its columns."""
    assert csv_form(sheet("gpt-4o")) == "model,cost_usd\ngpt-4o,0.5\n"


def test_markdown_cell_cannot_break_its_table() -> None:
    """Markup and line breaks in a name are neutralised; the total stands below."""
    assert markdown_form(sheet("a|b\n*c*")) == (
        "## Spend\n\n| model | cost\\_usd |\n| --- | ---: |\n| a\\|b \\*c\\* | 0.5 |\n\n**total $0.5**\n"
    )


def test_table_shows_names_as_they_are() -> None:
    """Square brackets in a name are text, not terminal markup."""
    console = Console(width=100, file=io.StringIO())
    console.print(table_form(sheet("[red]gpt[/red]")))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]gpt[/red]" in shown
    assert "total $0.5" in shown


@given(st.lists(st.tuples(st.text(max_size=80), st.integers(0, 10**25)), max_size=4), st.integers(1, 200))
def test_no_figure_of_a_table_is_ever_cut_off(rows: list[tuple[str, int]], terminal_width: int) -> None:
    """However narrow the terminal: names are folded, and where that is not enough the lines run on."""
    shown = Sheet(
        title="Spend",
        columns=("model", "cost_usd"),
        rows=tuple((name, f"${number}") for name, number in rows),
        right_aligned=frozenset({"cost_usd"}),
    )
    console = Console(width=max(terminal_width, table_width_min(shown)), file=io.StringIO())
    console.print(table_form(shown, width=console.width), crop=False)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(f"${number}" in text for _, number in rows)
    assert "…" not in text or any("…" in name for name, _ in rows)
