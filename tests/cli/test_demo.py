import os
from decimal import Decimal as D
from pathlib import Path

import psutil
import pytest

from tests.cli.running import run_program

pytestmark = pytest.mark.slow

# What the README shows, computed by hand from the fake API's token counts and the list prices (US dollars a million).
EMBEDDING = D("0.02") * 2_000 / 1_000_000
CHAT = D("0.15") * (1_234 - 1_024) / 1_000_000 + D("0.075") * 1_024 / 1_000_000 + D("0.60") * 87 / 1_000_000
STREAM = D("2.50") * 900 / 1_000_000 + D(10) * 120 / 1_000_000


def test_demo_prices_each_call_as_computed_by_hand(data_dir: Path) -> None:
    """Each of the five calls has its cost, its reason for having none, or 0 because it was refused."""
    body = run_program("demo", "--json", TMPDIR=str(data_dir.parent)).json
    found = [(record["model"], record["status"], record["cost_usd"]) for record in body["records"]]
    assert found == [
        ("text-embedding-3-small", "priced", str(EMBEDDING.normalize())),
        ("gpt-4o-mini-2024-07-18", "priced", str(CHAT.normalize())),
        ("gpt-4o-2024-08-06", "priced", str(STREAM.normalize())),
        ("gpt-4o-2024-08-06", "no_usage", None),
        ("gpt-4.1", "priced", "0"),
    ]
    assert D(body["total_cost_usd"]) == EMBEDDING + CHAT + STREAM
    assert (body["unpriced_count"], body["tenant_id"]) == (1, "acme")
    assert body["by_category"] == {"bot": body["total_cost_usd"]}


def test_demo_leaves_nothing_behind(data_dir: Path) -> None:
    """After the demo no directory and no process of it is left, and the person's own settings were not used."""
    folder = data_dir.parent
    ran = run_program("demo", TMPDIR=str(folder), CALLFARE_DATABASE_URL="postgresql://127.0.0.1:1/mine")
    assert (ran.exit_code, ran.err) == (0, "")
    assert "total ≥ $0.0036505 (1 unpriced)" in ran.out
    assert list(folder.iterdir()) == []
    assert not [process for process in psutil.process_iter(["cmdline"]) if mentions(process, folder)]


def mentions(process: psutil.Process, path: Path) -> bool:
    return process.pid != os.getpid() and str(path) in " ".join(process.info["cmdline"] or [])
