from decimal import Decimal
from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Config, load_config

WHOLE = """\
revenue: [{workflow: support-call, outcome: completed, amount: "4.99"}]
fees: [{percent: "2.9", fixed: "0.30"}]
trusted_cost_sources: [openrouter]
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "callfare.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_whole_file_is_read_exactly(tmp_path: Path) -> None:
    """Every part of the documented file arrives, money as exact decimals."""
    config = load(tmp_path, WHOLE)
    assert (config.revenue[0].workflow, config.revenue[0].outcome, config.revenue[0].amount) == (
        "support-call",
        "completed",
        Decimal("4.99"),
    )
    assert (config.fees[0].percent, config.fees[0].fixed) == (Decimal("2.9"), Decimal("0.30"))
    assert config.trusted_cost_sources == ("openrouter",)


def test_no_file_and_an_empty_file_are_an_empty_configuration(tmp_path: Path) -> None:
    """Everything in the file is optional, and so is the file."""
    assert load_config(None) == Config() == load(tmp_path, "") == load(tmp_path, "# nothing yet\n")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('fees:\n  - percent: "2.9"\n    fixed: 0.30\n', 3, "fees.0.fixed: must be a quoted decimal string"),
        ('fees:\n  - percent: "lots"\n', 2, "fees.0.percent: 'lots' is not a decimal number"),
        ('fees:\n  - percent: "NaN"\n', 2, "must be at least 0"),
        ('fees:\n  - percent: "-1"\n', 2, "must be at least 0"),
        ("fee:\n  - percent: a\n", 1, "fee: is not a setting; remove it, or write one of revenue, revenue_when_failed"),
        (
            '\nrevenue:\n  - workflow: a\n    sum: "1"\n',
            4,
            "revenue.0.sum: is not a setting; remove it, or write one of",
        ),
        ("revenue:\n  - workflow: a\n", 2, "revenue.0.amount: is missing"),
        (
            'revenue:\n  - {workflow: a, amount: "1", outcome: cancelled}\n',
            2,
            "revenue.0.outcome: input should be 'completed' or 'failed'",
        ),
        ("fees: [\n", 2, "not YAML"),
        ("- fees\n", 1, "must be a mapping"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    """The operator is led to the place of the mistake and told the mend."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'callfare.yaml'}:{line}: ")
    assert words in message
    assert "\n" not in message


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    """A missing file, or one that is not UTF-8, names the variable and the path."""
    with pytest.raises(SettingsError, match=r"^CALLFARE_CONFIG: cannot read .*missing.yaml"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"fees: \xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_config(tmp_path / "latin.yaml")
    (tmp_path / "control.yaml").write_bytes(b"fees: \x07")
    with pytest.raises(SettingsError, match="control characters"):
        load_config(tmp_path / "control.yaml")


def test_tiers_are_read(tmp_path: Path) -> None:
    """By name, with exact amounts."""
    tiers = load(tmp_path, 'tiers: {standard: {total_usd: "1.50", per_task_usd: {analysis: "0.75"}}}\n').tiers
    assert tiers["standard"].total_usd == Decimal("1.50")
    assert tiers["standard"].per_task_usd == {"analysis": Decimal("0.75")}


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ('tiers: {quick: {total_usd: "1"}}', "tiers: has no tier standard"),
        ("tiers: {standard: {total_usd: 1.5}}", "tiers.standard.total_usd: must be a quoted decimal string"),
        (
            'tiers: {standard: {total: "1"}}',
            "tiers.standard.total: is not a setting; remove it, or write one of total_usd",
        ),
        ("tiers: {standard: {}}", "tiers.standard.total_usd: is missing"),
    ],
)
def test_a_tier_that_is_wrong_is_one_line(tmp_path: Path, text: str, stated: str) -> None:
    """With the file, the line, the field and how to fix it."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f"{text}\n")
    assert str(refused.value).startswith(f"{tmp_path / 'callfare.yaml'}:1: {stated}")
