from cost_exporter.report.sheet import Fold, Sheet, folded, without_empty

SHEET = Sheet(
    title="",
    columns=("model", "tokens", "characters", "cost"),
    rows=(("a", "1,234", "", "$1"), ("b", "", "-", "-"), ("c", "5", "7", "$2")),
    right_aligned=frozenset({"tokens", "characters", "cost"}),
)


def test_folded_columns_keep_every_cell_with_its_unit() -> None:
    """What is empty leaves no comma, what is unknown stays a dash only where nothing else is known."""
    fold = Fold(columns=("tokens", "characters"), into="usage", words=(" tokens", " characters"))
    sheet = folded(SHEET, fold)
    assert sheet.columns == ("model", "usage", "cost")
    assert [row[1] for row in sheet.rows] == ["1,234 tokens", "-", "5 tokens, 7 characters"]
    assert "usage" in sheet.right_aligned


def test_columns_that_are_not_there_are_not_folded() -> None:
    """A report may leave a dimension out: the others stay as they are."""
    assert folded(SHEET, Fold(columns=("provider", "model"), into="model")) is SHEET


def test_a_column_in_which_nothing_stands_is_left_out() -> None:
    """Only where the report says that an empty one says nothing."""
    sheet = Sheet(title="", columns=("model", "tokens", "task"), rows=(("a", "", ""), ("b", "", "")))
    assert without_empty(sheet, frozenset({"tokens"})).columns == ("model", "task")
    assert without_empty(sheet, frozenset({"tokens"})).rows == (("a", ""), ("b", ""))
