import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "demo_pipeline.py"
NEEDED_BY_BUILD_SH = ("bash", "sed", "sha256sum", "cut", "dirname", "mkdir")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import demo_pipeline

    return demo_pipeline


def span(span_id: str, cost: str | None = None) -> Mapping[str, Any]:
    """A span as Jaeger shows it."""
    attributes = [] if cost is None else [{"key": "callfare.cost.amount", "value": {"stringValue": cost}}]
    return {"spanId": span_id, "name": "chat", "attributes": attributes}


COSTS = {"a": D("0.0001605"), "b": D(0)}
SHOWN = [span("a", "0.0001605"), span("b", "0"), span("c")]


def test_the_same_spans_and_figures_are_no_difference(script: Any) -> None:
    """Every span once and every known cost to the last digit: nothing to complain about."""
    assert script.differences(3, COSTS, SHOWN) == []


@pytest.mark.parametrize(
    ("shown", "complaint"),
    [
        (SHOWN[:2], "2 spans, 2 different, of 3"),
        ([*SHOWN, SHOWN[0]], "4 spans, 3 different, of 3"),
        ([*SHOWN[1:], span("a", "0.00016")], "span a costs 0.0001605 in the database, 0.00016 there"),
        ([*SHOWN[1:], span("a")], "span a costs 0.0001605 in the database, nothing there"),
        ([*SHOWN[:2], span("c", "1")], "span c costs nothing in the database, 1 there"),
    ],
)
def test_each_difference_is_named(script: Any, shown: Sequence[Mapping[str, Any]], complaint: str) -> None:
    """A span too few or twice, a digit less, a cost that is missing or too many."""
    assert script.differences(3, COSTS, shown) == [complaint]


def test_a_counter_of_the_collector_is_read_with_and_without_its_suffix(script: Any) -> None:
    """Only the samples with the label count, under either of the names that releases use."""
    text = (
        'accepted_total{receiver="otlp",transport="grpc"} 7\n'
        'accepted_total{receiver="otlp",transport="http"} 2\n'
        'accepted_total{receiver="otlp/enriched"} 100\n'
        'accepted{receiver="otlp"} 1\n'
    )
    assert script.metric(text, "accepted", 'receiver="otlp"') == 10


def test_without_go_one_line_says_what_is_missing(tmp_path: Path) -> None:
    """No binaries and no Go: exit code 2, one line, nothing started and nothing left."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED_BY_BUILD_SH:
        (programs / name).symlink_to(shutil.which(name) or name)
    folder = tmp_path / "temporary"
    folder.mkdir()
    ran = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={
            "PATH": str(programs),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")]),
            "CALLFARE_BINARY_CACHE": str(tmp_path / "empty"),
            "TMPDIR": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, list(folder.iterdir())) == (2, "", [])
    assert ran.stderr == (
        "error: DEMO=pipeline needs Go to build otelcol (https://go.dev/dl), and there is no `go` on the PATH; "
        "plain `make demo` does without\n"
    )


@pytest.mark.parametrize(
    ("arguments", "command"),
    [([], ".venv/bin/callfare demo"), (["DEMO=pipeline"], ".venv/bin/python scripts/demo_pipeline.py")],
)
def test_make_runs_the_demo_asked_for(arguments: list[str], command: str) -> None:
    """`make demo` needs no Go; `DEMO=pipeline` runs the script."""
    planned = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert planned.stdout.splitlines()[-1] == command
