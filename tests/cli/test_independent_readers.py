"""Every file that leaves, opened by programs that know nothing of callfare: each sum is the ledger's, to the digit."""

import json
import subprocess
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import run_command
from tests.cli.test_focus import database, ledger_usd  # noqa: F401 - a fixture
from tests.instrumentation.older_sdks import Older, environment_for

READERS = Older(release="pandas==3.1.1", module="", extra=("duckdb==2.0.1", "pyarrow==26.0.1", "openpyxl==3.1.5"))
"""In an environment of their own: the product needs none of them but pyarrow."""
READ = """
import json, sys
from decimal import Decimal
import duckdb, openpyxl, pandas

def added(cells):
    return str(sum((Decimal(str(cell)) for cell in cells if cell not in (None, "") and cell == cell), Decimal(0)))

folder = sys.argv[1]
def by_duckdb(column, name):
    # As text: the sniffed type of a column of money would be a binary float.
    source = f"read_csv('{folder}/{name}', all_varchar = true)" if name.endswith("csv") else f"'{folder}/{name}'"
    query = f"select sum(cast(nullif(cast({column} as varchar), '') as decimal(38, 12))) from {source}"
    return str(duckdb.sql(query).fetchall()[0][0])
sheet = openpyxl.load_workbook(f"{folder}/spend.xlsx").active
columns = [cell.value for cell in sheet[1]]
at = columns.index("cost_usd")
print(json.dumps({
    "pandas focus.csv": added(pandas.read_csv(f"{folder}/focus.csv", dtype=str, keep_default_na=False)["BilledCost"]),
    "pandas focus.parquet": added(pandas.read_parquet(f"{folder}/focus.parquet")["BilledCost"]),
    "pandas spend.csv": added(pandas.read_csv(f"{folder}/spend.csv", dtype=str, keep_default_na=False)["cost_usd"]),
    "duckdb focus.csv": by_duckdb("BilledCost", "focus.csv"),
    "duckdb focus.parquet": by_duckdb("BilledCost", "focus.parquet"),
    "duckdb spend.csv": by_duckdb("cost_usd", "spend.csv"),
    "openpyxl spend.xlsx": added(row[at] for row in sheet.iter_rows(min_row=2, values_only=True)),
}))
"""


@pytest.mark.slow
def test_each_file_adds_up_to_the_ledger(database: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:  # noqa: F811
    """FOCUS as CSV and Parquet, a report as CSV and workbook: by pandas, DuckDB and openpyxl, and JSON beside them."""

    def report(*arguments: str) -> str:
        ran = run_command(capsys, "report", "--month", "2026-09", *arguments)
        assert ran.exit_code == 0, ran.err
        return ran.out

    for name in ("focus.csv", "focus.parquet"):
        report("--format", "focus", "--allow-unpriced", "--output", str(tmp_path / name))
    by = ("--group-by", "tenant,provider,model")
    report("--format", "xlsx", *by, "--output", str(tmp_path / "spend.xlsx"))
    (tmp_path / "spend.csv").write_text(report("--format", "csv", *by))
    groups = json.loads(report("--json", *by))
    command = [str(environment_for(READERS)), "-c", READ, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    sums = {name: D(text) for name, text in json.loads(done.stdout).items()}
    sums["report --json"] = sum((D(each["cost_usd"]) for each in groups["groups"] if each["cost_usd"]), D(0))
    assert len(sums) == 8
    expected = ledger_usd(database)
    assert expected > 0
    assert {name: found for name, found in sums.items() if found != expected} == {}
