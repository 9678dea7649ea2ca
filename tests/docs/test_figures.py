"""Figures of README and manual are those that a benchmark or the price list has."""

import re

import pytest

from cost_exporter.prices import load_book
from tests.examples.documents import ROOT

RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "figure", "measured"),
    [
        ("README.md", "147 kills", "147 kills"),
        ("README.md", "220,960 acknowledged spans", "220,960 spans acknowledged"),
        ("README.md", "7,159 durable billable spans a second", "7,159 spans/s"),
        ("README.md", "6 µs of CPU in the application", "**6 µs** of the call are ours"),
        ("docs/operations/scale.md", "1.16 times", "**1.16**"),
        ("docs/operations/scale.md", "46 bytes", "| 46 |"),
        ("docs/operations/scale.md", "30 of 150 row groups", "30 of 150"),
        ("docs/operations/scale.md", "1,087 bytes a call", "1,087"),
        ("docs/operations/scale.md", "takes 230 bytes more", "takes 230 bytes a call"),
    ],
)
def test_a_figure_is_one_that_was_measured(page: str, figure: str, measured: str) -> None:
    """It stands on the page as in benchmarks/RESULTS.md."""
    assert figure in (ROOT / page).read_text(encoding="utf-8")
    assert measured in RESULTS


def test_the_sizes_on_disk_are_those_that_were_measured() -> None:
    """docs/operations/scale.md multiplies and adds up what benchmarks/RESULTS.md has."""
    found = re.findall(r"^\| `(\w+)` \| ([\d,]+) a", RESULTS.partition("## Size on disk")[2], re.MULTILINE)
    measured = {name: int(count) for name, count in found}
    shown = (ROOT / "docs" / "operations" / "scale.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]+\| (\d+) \| (\d+) GB \|", shown, re.MULTILINE)
    calls_per_trace = 10
    expected = [measured["record"], measured["provider_call"]]
    expected += [round(measured[name] / calls_per_trace) for name in ("trace", "workflow_rollup")]
    assert rows == [(str(each), str(each)) for each in [*expected, sum(expected)]]
    for name in ("trace", "workflow_rollup"):
        assert f"{measured[name]} bytes, at 10 calls" in shown


def test_the_readme_counts_the_models_that_have_a_price() -> None:
    """Models of a provider with a price for input or output tokens, to the hundred."""
    rows = [row for row in load_book().rows if row.unit in {"input_tokens", "output_tokens"}]
    models = {(row.provider, row.model) for row in rows}
    assert f"some {round(len(models), -2):,}, by tokens" in (ROOT / "README.md").read_text(encoding="utf-8")
