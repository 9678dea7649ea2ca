from decimal import Decimal
from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import AlertKind, AlertOn, Config, Window, load_config

WHOLE = """\
revenue: [{workflow: support-call, outcome: completed, amount: "4.99"}]
fees: [{percent: "2.9", fixed: "0.30"}]
budgets:
  - {name: acme-day, tenant: acme, window: day, limit_usd: "5", soft_percent: 75, hard: true, category: bot}
tiers: {quick: {total_usd: "0.50", per_task_usd: {analysis: "0.30"}}, standard: {total_usd: "2"}}
alerts:
  - {kind: slack, url: "https://hooks.example/x", on: [budget, workflow_over], over_usd: "0.50", allow_private: false}
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
    budget = config.budgets[0]
    assert (budget.name, budget.tenant, budget.window, budget.limit_usd) == ("acme-day", "acme", Window.DAY, Decimal(5))
    assert (budget.soft_percent, budget.hard, budget.category, budget.user) == (75, True, "bot", None)
    assert config.tiers["quick"].per_task_usd == {"analysis": Decimal("0.30")}
    assert config.tiers["standard"].total_usd == Decimal(2)
    assert config.alerts[0].kind is AlertKind.SLACK
    assert config.alerts[0].on == (AlertOn.BUDGET, AlertOn.WORKFLOW_OVER)
    assert config.alerts[0].over_usd == Decimal("0.50")
    assert config.trusted_cost_sources == ("openrouter",)


def test_no_file_and_an_empty_file_are_an_empty_configuration(tmp_path: Path) -> None:
    """Everything in the file is optional, and so is the file."""
    assert load_config(None) == Config() == load(tmp_path, "") == load(tmp_path, "# nothing yet\n")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('fees:\n  - percent: "2.9"\n    fixed: 0.30\n', 3, "fees.0.fixed: must be a quoted decimal string"),
        ('fees:\n  - percent: "lots"\n', 2, "fees.0.percent: 'lots' is not a decimal number"),
        ('fees:\n  - percent: "NaN"\n', 2, "must be at least 0"),
        ('fees:\n  - percent: "-1"\n', 2, "must be at least 0"),
        ('budgets:\n  - name: a\n    limit_usd: "5"\n', 2, "budgets.0.window: is missing"),
        ('budgets:\n  - {name: a, window: year, limit_usd: "5"}\n', 2, "'hour', 'day' or 'month'"),
        (
            'budgets:\n  - {name: a, window: day, limit_usd: "5"}\n  - {name: a, window: hour, limit_usd: "1"}\n',
            1,
            "two",
        ),
        ("budget:\n  - name: a\n", 1, "budget: is not a setting; remove it, or write one of revenue, fees, budgets"),
        (
            '\ntiers:\n  quick:\n    total: "1"\n',
            4,
            "tiers.quick.total: is not a setting; remove it, or write one of total",
        ),
        ("tiers:\n  quick: {}\n", 2, "tiers.quick.total_usd: is missing"),
        ('alerts:\n  - kind: slack\n    url: "gopher://x"\n', 3, "alerts.0.url"),
        ('alerts:\n  - {kind: slack, url: "https://x", on: [workflow_over]}\n', 2, "needs a threshold"),
        ('alerts:\n  - {kind: slack, url: "https://x", on: workflow_over}\n', 2, "alerts.0.on"),
        ("fees: [\n", 2, "not YAML"),
        ("- fees\n", 1, "must be a mapping"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    """The operator is led to the place of the mistake and told the mend."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'callfare.yaml'}:{line}: ")
    assert said in message
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
