"""The FinOps Foundation's own validator reads our Parquet: one known rule fails, and planted faults are found.

The validator needs Python 3.12 and an environment of its own, and must not load rules from elsewhere. Its exit code
says nothing, so its output is read. It does not check that price times quantity is the cost: `test_focus.py` does.
"""

import fcntl
import hashlib
import json
import os
import subprocess
from decimal import Decimal as D
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.report.focus.files import write_parquet
from cost_exporter.report.focus.rows import FocusMonth, focus_row
from cost_exporter.store.exports import month_charges
from cost_exporter.store.reading import Reader
from tests.cli.test_focus import SEPTEMBER, database  # noqa: F401 - a fixture
from tests.end_to_end.binaries import unavailable
from tests.instrumentation.older_sdks import CACHE

WANTED = ("focus-validator==2.2.1", "pyarrow==21.*")
CRITERIA = ",".join(
    f"{name}_SUPPORTED"
    for name in (
        *("USAGE_MEASUREMENT", "UNIT_PRICING", "PUBLIC_PRICE_LIST", "NEGOTIATED_PRICING", "SUB_ACCOUNT", "TAGGING"),
        *("ACCOUNT_NAMING", "MULTIPLE_PRICING_CATEGORIES"),
    )
)
DRIVER = """
import contextlib, io, json, os, sys
import focus_validator
from focus_validator.main import main
os.chdir(os.path.dirname(os.path.dirname(focus_validator.__file__)))  # it looks for its rules from there
found = {}
for path in sys.argv[2:]:
    sys.argv = ["focus-validator", "--data-file", path, "--validate-version", "1.2", "--block-download",
                "--focus-dataset", "CostAndUsage", "--applicability-criteria", os.environ["CRITERIA"]]
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main()
    found[os.path.basename(path)] = text.getvalue()
json.dump(found, open(os.environ["RESULT"], "w"))
"""
Row = dict[str, Any]

FAULTS: tuple[Row, ...] = (
    {"BilledCost": None},
    {"EffectiveCost": None},
    {"ConsumedUnit": "!tokens!"},
    {"BillingCurrency": "dollars"},
    {"ContractedUnitPrice": D(-1)},
    {"ServiceName": None},
    {"ChargeClass": "Refund"},
    {"BillingAccountId": None},
    {"Tags": "category=bot"},
    {"SkuId": None},
)
"""Each in a row of its own."""
FAILS_INSTEAD = {"SkuId": "SkuMeter"}
"""Where another column's rule finds the fault: a meter without a SKU."""


def newer_python() -> str | None:
    """A Python that the validator runs on."""
    found = [*Path("/usr/bin").glob("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python")]
    return str(found[0]) if found else None


def validator(python: str) -> Path:
    """The Python of the validator's environment; made once, kept outside the checkout."""
    name = hashlib.sha256("\n".join([python, *WANTED]).encode()).hexdigest()[:16]
    folder = CACHE / f"venv-{name}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"venv-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, *WANTED], check=True, timeout=900)
            (folder / "ready").touch()
    return folder / "bin" / "python"


def rules(text: str, status: str) -> set[str]:
    return {line.split()[1].rstrip(":") for line in text.splitlines() if f": {status}" in line}


@pytest.mark.slow
def test_the_validator_finds_what_is_planted_and_nothing_else(database: Any, tmp_path: Path) -> None:  # noqa: F811
    """Every rule that can be checked holds, but the one that wants the number of an invoice, which we do not issue."""
    python = newer_python()
    if python is None:
        unavailable("the validator needs Python 3.12, which is not here")
    rows = september(database)
    write_parquet(rows, tmp_path / "sound.parquet")
    assert len(rows) >= len(FAULTS)
    planted = [row | fault for row, fault in zip_longest(rows, FAULTS, fillvalue={})]
    write_parquet(planted, tmp_path / "planted.parquet")
    result = tmp_path / "result.json"
    paths = [str(tmp_path / f"{name}.parquet") for name in ("sound", "planted")]
    environment = {**os.environ, "CRITERIA": CRITERIA, "RESULT": str(result), "PYTHONUTF8": "1"}
    command = [str(validator(python)), "-c", DRIVER, "", *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert result.exists(), done.stderr[-2000:]
    found = json.loads(result.read_text(encoding="utf-8"))
    sound = found["sound.parquet"]
    assert rules(sound, "FAIL") == {"InvoiceId-C-005-C"}, sound[-3000:]
    assert len(rules(sound, "PASS")) >= 239
    failed = rules(found["planted.parquet"], "FAIL") - rules(sound, "FAIL")
    for column in {FAILS_INSTEAD.get(column, column) for fault in FAULTS for column in fault}:
        assert any(rule.startswith(f"{column}-") for rule in failed), (column, failed)


def september(database: Any) -> list[Row]:  # noqa: F811
    """The rows of the month; of a price that no list has there is none, because the rule wants a list price."""
    period = FocusMonth(month=SEPTEMBER, billing_account="prod-eu", list_price=lambda charge: charge["unit_price_usd"])
    with Reader.connect(database.info.dsn) as reader:
        return [focus_row(charge, period) for charge in month_charges(reader, SEPTEMBER, None, with_ids=False)]
