"""No character of Unicode is a command anywhere it is shown, and no other character is changed."""

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from cost_exporter.report.forms import Sheet, csv_form, markdown_form, table_form
from cost_exporter.safe_text import (
    for_html,
    for_json,
    for_log,
    for_markdown,
    for_metric_label,
    for_spreadsheet,
    for_terminal,
)
from cost_exporter.serve.pages.render import template_environment

ALL_CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1)]
JOINERS = {"\u200c", "\u200d"}
"""Invisible, and part of how Persian, Hindi and emoji are written."""
ONE_LINERS = [for_terminal, for_log, for_metric_label, for_spreadsheet, for_markdown, for_html]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)


def is_command(character: str) -> bool:
    """Whether a character does something but show itself, by the tables of Unicode."""
    if unicodedata.category(character) == "Cf":
        return character not in JOINERS and not is_seen(unicodedata.name(character))
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or ord(character) in {0xFFFE, 0xFFFF}


def is_seen(name: str) -> bool:
    """Whether a format character is drawn: the signs that stand above numbers in Arabic, Syriac and Kaithi."""
    words = ("SIGN", "NUMBER MARK", "END OF AYAH", "ABBREVIATION", "POUND", "PIASTRE", "FOOTNOTE", "DISPUTED")
    return any(word in name for word in words) and not name.startswith("TAG ")


COMMANDS = "".join(filter(is_command, ALL_CHARACTERS))
OTHERS = "".join(character for character in ALL_CHARACTERS if unicodedata.category(character) != "Cn").translate(
    dict.fromkeys(map(ord, COMMANDS))
)
"""What is not assigned yet may become either."""


@pytest.mark.parametrize("safe", ONE_LINERS, ids=lambda safe: safe.__name__)
def test_no_character_of_unicode_is_a_command(safe: Callable[[str], str]) -> None:
    """Each one becomes the escape of itself, in every medium."""
    shown = safe(COMMANDS)
    assert not any(map(is_command, shown))
    if safe is not for_markdown:  # which has a blank for any white space
        assert shown.lstrip("'") == COMMANDS.encode("unicode_escape", "surrogatepass").decode()


@pytest.mark.parametrize("safe", [for_terminal, for_log, for_metric_label, for_html], ids=lambda safe: safe.__name__)
def test_no_other_character_is_changed(safe: Callable[[str], str]) -> None:
    """Letters of every script, emoji with their joiners and all signs are shown as they were written."""
    assert safe(OTHERS) == OTHERS
    assert len(OTHERS) > 250_000


@given(ANY_TEXT)
def test_json_keeps_what_it_says(text: str) -> None:
    """An escaped document stands for the same values, and no character of it commands the terminal."""
    document = for_json(json.dumps({text: [text]}, ensure_ascii=False, indent=2))
    assert json.loads(document) == {text: [text]}
    assert not any(map(is_command, document.replace("\n", "")))


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_a_csv_has_the_rows_it_was_given(names: list[str]) -> None:
    """No name ends its row or begins a formula, for a reader that takes each line separator for a line's end."""
    rows = tuple((name, "1") for name in names)
    text = csv_form(Sheet(title="", columns=("model", "cost_usd"), rows=rows))
    assert len(text.splitlines()) == len(names) + 1
    for name, _ in list(csv.reader(io.StringIO(text)))[1:]:
        first = unicodedata.normalize("NFKC", name.lstrip()[:1])
        assert first not in {"=", "+", "-", "@"} or name.lstrip("+-").replace(".", "").isdigit()


@pytest.mark.parametrize(
    "name",
    [
        "y\r=cmd|' /C calc'!A0",
        "\r=1+1",
        "x\rgpt-4o",
        "=1+1",
        "\uff1d1+1",
        " =1+1",
        "\ufeff=1+1",
        "\t@SUM(A1)",
        "+1-2",
        "-2+3",
        "%0A=1",
    ],
)
def test_a_name_is_no_formula(name: str) -> None:
    """What spreadsheets have been attacked with: each stays one cell of text in one row."""
    text = csv_form(Sheet(title="", columns=("model", "cost_usd"), rows=((name, "0.5"),)))
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert len(text.splitlines()) == 2
    assert row[1] == "0.5"
    assert row[0][0] not in "=+-@%\t\r\uff1d \ufeff" or row[0].startswith("'")
    assert not row[0].lstrip().startswith(("=", "+", "-", "@", "\uff1d"))


@given(ANY_TEXT, st.integers(1, 100))
def test_a_table_has_no_line_but_its_own(name: str, width: int) -> None:
    """A name cannot move the cursor, forge a row or colour the terminal, however narrow it is."""
    shown = table_form(Sheet(title=name, columns=("model", "cost"), rows=((name, "$1"),), total=name), width=width)
    assert not any(map(is_command, shown.replace("\n", "")))
    assert len(markdown_form(Sheet(title="", columns=("model",), rows=((name,),))).split("\n")) == 8


@given(ANY_TEXT)
def test_a_page_shows_a_name_as_text(name: str) -> None:
    """Neither markup nor an invisible character of a name reaches the browser."""
    shown = template_environment().from_string("<b title='{{ name }}'>{{ name }}</b>").render(name=name)
    assert shown.count("<") == shown.count(">") == 2
    assert shown.count("'") == 2
    assert not any(map(is_command, shown))


@given(ANY_TEXT)
def test_a_metric_label_is_one_label(name: str) -> None:
    """A name as a label is read back as one sample with that label, also by a parser that splits at any line end."""

    class Named(Collector):
        def collect(self) -> list[CounterMetricFamily]:
            family = CounterMetricFamily("cost", "Cost.", labels=("model",))
            family.add_metric([for_metric_label(name)], 1)
            return [family]

    registry = CollectorRegistry()
    registry.register(Named())
    text = generate_latest(registry).decode()
    assert len(text.splitlines()) == 3
    (family,) = text_string_to_metric_families(text)
    assert [sample.labels for sample in family.samples] == [{"model": for_metric_label(name)}]
