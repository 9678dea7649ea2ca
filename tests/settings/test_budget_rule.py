"""The section `budgets`: exact, unambiguous, and understood where it was written for something else."""

from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Config, load_config
from cost_exporter.store.budgets.rules import spec_of

WHOLE = """\
budgets:
  - {name: acme-day, tenant: acme, window: day, limit_usd: "5", soft_percent: 80, thresholds: [50, "99.5"]}
  - {name: each, tenant: "*", window: month, limit_usd: "100", hard: false,
     raised_by_usd: "20", raised_until: 2026-12-05}
  - {name: ann, tenant: acme, window: total, limit_usd: "7", hard: shadow, unpriced: "0.05", user: ann}
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "callfare.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_every_field_arrives_exactly(tmp_path: Path) -> None:
    """Percentages with the 100 that is always there, amounts as decimals, the date as its midnight in UTC."""
    day, each, ann = (spec_of(rule, is_from_file=True) for rule in load(tmp_path, WHOLE).budgets)
    assert (day.limit_usd, day.thresholds, day.enforcement, day.unpriced) == (
        D(5),
        (D(50), D(80), D("99.5"), D(100)),
        "hard",
        "refuse",
    )
    assert (each.enforcement, each.unpriced, each.raised_until) == ("soft", "allow", datetime(2026, 12, 5, tzinfo=UTC))
    assert (ann.enforcement, ann.unpriced, ann.assumed_usd, ann.user) == ("shadow", "assume", D("0.05"), "ann")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ('name: a, tenant: t, window: day, max_budget: "5"', "max_budget: is called limit_usd here; write limit_usd"),
        ('name: a, tenant: t, budget_duration: 1d, limit_usd: "5"', "is called window here; write window"),
        ('name: a, tenant: t, window: 1mo, limit_usd: "5"', "'1mo' is no window; write month, a calendar month in UTC"),
        ('name: a, tenant: t, window: lifetime, limit_usd: "5"', "write total"),
        ('name: a, tenant: t, window: week, limit_usd: "5"', "write hour, day, month or total"),
        ("name: a, tenant: t, window: day, limit_usd: 5", "limit_usd: must be a quoted decimal string"),
        ('name: a, window: day, limit_usd: "5"', "tenant: is missing"),
        ('name: a, tenant: t, window: day, limit_usd: "5", soft_percent: 0', "must be above 0"),
        (
            'name: a, tenant: t, window: day, limit_usd: "5", thresholds: [0.5]',
            "thresholds.0: must be a quoted decimal",
        ),
        ('name: a, tenant: t, window: day, limit_usd: "5", hard: sometimes', "hard"),
        ('name: a, tenant: t, window: day, limit_usd: "5", unpriced: deny', "must be refuse, allow, or an amount"),
        ('name: a, tenant: t, window: day, limit_usd: "5", user: u, model: m', "by user and model together"),
        ('name: a, tenant: t, window: day, limit_usd: "5", user: u, api_key: k', "by api_key and user together"),
        ('name: a, tenant: t, window: day, limit_usd: "5", raised_by_usd: "1"', "needs raised_by_usd and raised_until"),
        ('name: a, tenant: t, window: day, limit_usd: "5", raised_by_usd: "1", raised_until: soon', "no date"),
        ('name: " a", tenant: t, window: day, limit_usd: "5"', "name: must be 1 to 100 printable characters"),
    ],
)
def test_a_mistake_is_one_line_that_helps(tmp_path: Path, budget: str, words: str) -> None:
    """With the place, and the name that is meant."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f"budgets:\n  - {{{budget}}}\n")
    message = str(refused.value)
    assert words in message
    assert message.startswith(f"{tmp_path / 'callfare.yaml'}:2: budgets.0")
    assert "\n" not in message


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second would silently replace the first."""
    one = '{name: a, tenant: t, window: day, limit_usd: "5"}'
    with pytest.raises(SettingsError, match="two budgets are named 'a'"):
        load(tmp_path, f"budgets: [{one}, {one}]\n")
