"""`callfare query`: DuckDB over what was exported, with nothing else in reach; and the commands around it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import ExportError
from cost_exporter.lake.place import Place
from cost_exporter.lake.query import query
from cost_exporter.store.rerate import apply_rerate
from tests.cli.running import Ran, run_command
from tests.domain.builders import call
from tests.lake.exported import Lake
from tests.lake.test_exactness import ACME
from tests.store.test_journal import ALL_TIME, COST
from tests.store.test_later_changes import NEW
from tests.support.stored import as_url

Database = psycopg.Connection[Any]


@pytest.fixture
def exported(lake: Lake) -> Place:
    """Two tenants; one call without a price; a file that no manifest names."""
    calls = [call("a"), call("b", attribution=ACME), call("c", attribution=ACME, model="m", quantities={})]
    lake.finish(*calls)
    (file,) = lake.run().files
    stray = Path(lake.place.path(file.name.replace("-000.", "-007.")))
    stray.write_bytes(Path(lake.place.path(file.name)).read_bytes())
    return lake.place


@pytest.fixture
def callfare(
    lake: Lake, exported: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(lake.database_url))
    monkeypatch.setenv("CALLFARE_EXPORT_TO", exported.location)
    return lambda *arguments: run_command(capsys, *arguments)


SUMS = "select SubAccountId, sum(BilledCost) as cost_usd, sum(x_RequestCount) as calls from calls group by 1 order by 1"


def test_sums_are_exact_in_each_form(callfare: Callable[..., Ran]) -> None:
    """What a killed run left is not counted."""
    table = callfare("query", SUMS).out.splitlines()
    assert [line.split() for line in table if "acme" in line or "default" in line] == [
        ["acme", str(COST), "2"],
        ["default", str(COST), "1"],
    ]
    assert callfare("query", SUMS, "--format", "csv").out.splitlines() == [
        "SubAccountId,cost_usd,calls",
        f"acme,{COST},2",
        f"default,{COST},1",
    ]
    assert callfare("query", SUMS, "--format", "json").json == [
        {"SubAccountId": "acme", "cost_usd": str(COST), "calls": 2},
        {"SubAccountId": "default", "cost_usd": str(COST), "calls": 1},
    ]


def test_an_unknown_cost_is_no_zero(exported: Place) -> None:
    """A call without a price is null, and counted as such."""
    found = query(exported, "select BilledCost, x_UnpricedCount, day::text from calls where x_Model = 'm'")
    assert found.values == [(None, 1, "2026-09-21")]
    assert found.sheet(unknown="-").rows == (("-", "1", "2026-09-21"),)


FORBIDDEN = (
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_parquet('{}/**/*.parquet')",
    "select * from glob('/*')",
    "copy calls to '{}/stolen.csv'",
    "attach '{}/x.db'",
    "export database '{}/x'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "reset lock_configuration",
    "select * from files",
    "select * from columns",
    "select 1; select 2",
    "select nothing from calls",
    "sele",
    "",
    "select cast('x' as integer)",
)


def test_nothing_else_is_in_reach(callfare: Callable[..., Ran], exported: Place) -> None:
    """No file, network, extension, setting or variable of the program; and each mistake is one line."""
    before = exported.names()
    for sql in FORBIDDEN:
        ran = callfare("query", sql.format(exported.root))
        assert (ran.exit_code, ran.out, ran.err.count("\n")) == (1, "", 1), (sql, ran)
    assert exported.names() == before


def test_two_columns_of_one_name_are_refused_as_json(callfare: Callable[..., Ran]) -> None:
    """One of them would be lost."""
    assert "give each its own" in callfare("query", "select 1 as a, 2 as a", "--format", "json").err


def test_export_and_verify_as_commands(lake: Lake, callfare: Callable[..., Ran], exported: Place) -> None:
    """What a run wrote, that a second one has nothing to write, and the check by its exit code."""
    assert callfare("export").out == f"nothing new for {exported.location}\n"
    ran = callfare("verify", "--export", exported.location)
    assert (ran.exit_code, ran.out.splitlines()[-1]) == (1, "1 differences")
    (stray,) = [name for name in exported.names() if "-007." in name]
    exported.delete(stray)
    assert callfare("verify", "--export", exported.location, "--json").json == {
        "is_sound": True,
        "problems": [],
        "not_compared": [],
    }
    list(apply_rerate(lake.database_url, ALL_TIME, NEW, "new"))
    done = callfare("export", "--json").json
    assert (done["manifest"], done["row_count"], done["request_count"], done["cost_usd"]) == (2, 6, 0, "0.00618")
    assert callfare("verify", "--export", exported.location).exit_code == 0
    assert (
        json.loads(Path(exported.path(f"manifests/{done['manifest']:06}.json")).read_text())["sums"]["row_count"] == 6
    )


def test_a_place_that_is_not_named_or_empty_is_one_line(
    callfare: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the option, the variable, or the command that makes an export."""
    monkeypatch.delenv("CALLFARE_EXPORT_TO")
    for command in (("export",), ("query", "select 1"), ("verify", "--export", "/nowhere/at/all")):
        ran = callfare(*command)
        assert (ran.exit_code, ran.err.count("\n")) == (1, 1)
        assert "CALLFARE_EXPORT_TO" in ran.err or "callfare export --to" in ran.err


def test_a_place_that_was_never_exported_to_cannot_be_asked(tmp_path: Path) -> None:
    """It says what to run."""
    with pytest.raises(ExportError, match="callfare export --to"):
        query(Place(str(tmp_path)), "select 1")
