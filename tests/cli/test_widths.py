"""Every table of the command line fits the terminal it is printed in."""

from collections.abc import Callable
from typing import Any

import pytest

from cost_exporter.report.forms import Sheet, table_form
from tests.cli.running import Ran
from tests.support.stored import SUPPORT_CALL

LISTS = [
    ["top"],
    ["report"],
    ["report", "--group-by", "day"],
    ["report", "--group-by", "tenant", "--compare", "previous"],
    ["report", "--group-by", "tenant,category,provider,model,day,user"],
    ["trace", SUPPORT_CALL.hex()],
    ["trace", SUPPORT_CALL.hex(), "--explain"],
    ["unread"],
    ["prices", "list"],
    ["prices", "show", "gpt-4o"],
    ["rerate", "list"],
    ["budget", "list"],
    ["budget", "status"],
    ["audit", "list"],
    ["token", "list"],
    ["deadletter", "list"],
    ["doctor"],
]


@pytest.fixture
def filled_lists(callfare: Callable[..., Ran]) -> Callable[..., Ran]:
    """The command, on a database in which every list has a row."""
    key = "a-key-of-a-customer-with-a-long-name"
    rule = ("--tenant", "acme", "--limit", "1000.50", "--api-key", key, "--soft-percent", "80")
    assert callfare("budget", "set", "a-budget-with-a-long-name", *rule).exit_code == 0
    assert callfare("token", "create", "--tenant", "acme", "--scope", "read", "--expires", "90d").exit_code == 0
    since, until = "2020-01-01", "2020-02-01"
    assert callfare("rerate", "--since", since, "--until", until, "--apply").exit_code == 0
    return callfare


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
@pytest.mark.parametrize("width", [70, 80, 120])
def test_a_table_fits(
    arguments: list[str], width: int, filled_lists: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is wider than the terminal, but for a word that nothing may break."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = filled_lists(*arguments).out.splitlines()
    assert lines
    unfit = [line for line in lines if len(line) > width and len(max(line.split(), key=len)) < width // 2]
    assert unfit == []


def test_the_check_of_widths_can_fail(filled_lists: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as it is, a table does not fit."""
    monkeypatch.setenv("COLUMNS", "70")
    assert max(len(line) for line in filled_lists("top", "--wide").out.splitlines()) > 70


def test_figures_are_broken_between_each_other_and_never_within() -> None:
    """A cell of several figures takes as many lines as it needs, and no digit is left out."""
    figures = "1,341 tokens, 4,384.875 s audio, 12 s call"
    sheet = Sheet(title="", columns=("day", "usage"), rows=(("x", figures),), right_aligned=frozenset({"usage"}))
    lines = table_form(sheet, width=24).splitlines()[2:]
    assert [line.split("  ")[-1].strip() for line in lines] == ["1,341 tokens,", "4,384.875 s audio,", "12 s call"]


def test_a_table_shows_prices_as_people_say_them(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`$2.50 / 1M tokens`, with the unit that it is for."""
    monkeypatch.setenv("COLUMNS", "120")
    printed = callfare("prices", "show", "gpt-4o", "--provider", "openai").out
    assert "$2.50 / 1M tokens" in printed
    assert "1000000" not in printed
