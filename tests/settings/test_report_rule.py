"""Reports in the configuration file: what they are, and a line for each mistake."""

from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Config, load_config

ALERTS = """
alerts:
  - {name: ops, kind: slack, url: https://example.com, on: [budget]}
  - {name: acme, kind: slack, url: https://example.com, on: [report], tenant: acme}
reports:
  - {name: own, every: month, to: acme, tenant: acme}
"""


def load(path: Path, text: str) -> Config:
    (path / "callfare.yaml").write_text(text)
    return load_config(path / "callfare.yaml")


def test_a_report_is_read_with_its_defaults(tmp_path: Path) -> None:
    """One word is as good as a list of one; it is by tenant and model, in markdown."""
    own, daily = load(tmp_path, ALERTS + "  - {name: d, every: day, to: [ops], group_by: user, format: csv}\n").reports
    assert (own.to, own.group_by, own.format, own.tenant) == (("acme",), ("tenant", "model"), "markdown", "acme")
    assert (daily.every, daily.group_by, daily.format, daily.tenant) == ("day", ("user",), "csv", None)


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ("name: a, every: day, to: [nobody]", "'a' goes to 'nobody', which alerts does not have; it has ops, acme"),
        ("name: a, every: day, to: [acme]", "'acme' is for tenant 'acme' alone; write tenant: acme at 'a'"),
        ("name: a, every: day, to: [acme], tenant: beta", "'acme' is for tenant 'acme' alone"),
        ("name: a, every: day, to: []", "is empty; name at least one"),
        ("name: a, every: day, to: ops, group_by: []", "is empty; name at least one"),
        ("name: a, every: hour, to: ops", "should be 'day', 'week' or 'month'"),
        ("name: a, every: day, to: ops, group_by: colour", "should be 'day'"),
        ("name: a, every: day, to: ops, format: pdf", "should be 'markdown' or 'csv'"),
        ("name: a, every: day, receivers: ops", "is called to here; write to"),
        ("name: 'a b', every: day, to: ops", "must be 1 to 63 characters"),
        ("name: own, every: day, to: ops", "two reports are named 'own'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, report: str, error: str) -> None:
    """With the field and how to write it."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f"{ALERTS}  - {{{report}}}\n")
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_receiver_of_reports_that_gets_none_is_a_mistake(tmp_path: Path) -> None:
    """Nothing would ever be sent to it."""
    with pytest.raises(SettingsError, match="no report goes to 'acme', which has report in on"):
        load(tmp_path, ALERTS.partition("reports:")[0])
