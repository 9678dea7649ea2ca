import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.report.forms import Fold, Sheet, csv_form, markdown_form, table_form


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
    shown = table_form(sheet("[red]gpt[/red]"))
    assert "[red]gpt[/red]" in shown
    assert shown.endswith("total $0.5")


def test_points_stand_below_one_another() -> None:
    """Sums are compared by eye: a cent is below a cent, a dash in the place of the dollars."""
    rows = (("a", "$0.5"), ("b", "≥ $12.54678 (1 unpriced)"), ("c", "-"), ("d", "$3"))
    aligned = Sheet(
        title="",
        columns=("model", "cost"),
        rows=rows,
        right_aligned=frozenset({"cost"}),
        point_aligned=frozenset({"cost"}),
    )
    lines = table_form(aligned).split("\n")[2:]
    ends = [line.index(".") if "." in line else len(line) for line in lines]
    assert len(set(ends)) == 1


ID = "0af7651916cd43dd8448eb211c80319c"
WIDE = Sheet(
    title="Workflows",
    columns=("id", "provider", "model", "quantity", "unit", "cost"),
    rows=((ID, "openai", "gpt-4o-mini-2024-07-18", "1,234", "tokens", "$0.0001851"),),
    right_aligned=frozenset({"quantity", "cost"}),
    unbroken=frozenset({"id", "unit"}),
    folds=(
        Fold(columns=("provider", "model"), into="model", separator=" "),
        Fold(columns=("quantity", "unit"), into="quantity", separator=" "),
        Fold(columns=("absent", "unit"), into="nothing"),
        Fold(columns=("id", "model"), into="id", separator="\n"),
    ),
    total="total $0.0001851",
)


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (None, ["id", "provider", "model", "quantity", "unit", "cost"]),
        (120, ["id", "provider", "model", "quantity", "unit", "cost"]),
        (92, ["id", "model", "quantity", "unit", "cost"]),
        (60, ["id", "quantity", "cost"]),
    ],
)
def test_columns_fold_in_the_order_that_is_stated(width: int | None, columns: list[str]) -> None:
    """As few as make the table fit; each word of it is still there."""
    shown = table_form(WIDE, width=width)
    assert shown.split("\n")[2].split() == columns
    assert all(len(line) <= (width or 1000) for line in shown.split("\n"))
    words = shown.split()
    assert {ID, "openai", "gpt-4o-mini-2024-07-18", "1,234", "tokens", "$0.0001851"} <= set(words)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_trace_id_within_a_text_is_not_split_either(width: int) -> None:
    """A status may name the trace in which a call is billed."""
    rows = ((f"duplicate of 00f067aa0ba902b7 in trace {ID}", "some text that takes room"),)
    assert ID in table_form(Sheet(title="", columns=("status", "more"), rows=rows), width=width)


@given(
    st.lists(st.tuples(st.text(max_size=80), st.integers(0, 10**25)), max_size=4), st.integers(1, 200), st.booleans()
)
def test_no_figure_and_no_id_of_a_table_is_ever_cut_off(
    rows: list[tuple[str, int]], terminal_width: int, folds: bool
) -> None:
    """However narrow the terminal: names are folded, and where that is not enough the lines run on."""
    fold = Fold(columns=("id", "model"), into="id", separator="\n")
    shown = Sheet(
        title="Spend",
        columns=("id", "model", "cost_usd"),
        rows=tuple((ID, name, f"${number}") for name, number in rows),
        right_aligned=frozenset({"cost_usd"}),
        unbroken=frozenset({"id"}),
        folds=(fold,) if folds else (),
    )
    text = table_form(shown, width=terminal_width)
    assert all(f"${number}" in text for _, number in rows)
    assert text.count(ID) >= len(rows)
