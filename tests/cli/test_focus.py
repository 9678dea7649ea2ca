"""`callfare report --format focus`: rows that add up to the ledger, also of a closed month and its corrections."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import parquet

from cost_exporter.domain.attribution import Attribution
from cost_exporter.prices.price_file import parse_price_file
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.periods import close_period, reopen_period
from cost_exporter.store.price_books import current_book, save_price_file
from tests.cli.running import run_command
from tests.domain.builders import call
from tests.store.requests import request

SEPTEMBER = date(2026, 9, 1)
OWN_PRICES = """
prices:
  - {book: "tenant:acme", provider: openai, model: gpt-4o-mini, unit: input_tokens, price: "0.11", per: "1000000",
     valid_from: 2026-01-01}
  - {book: "tenant:acme", provider: openai, model: gpt-4o-mini, unit: output_tokens, price: "0.50", per: "1000000",
     valid_from: 2026-01-01}
  - {provider: house, model: own-1, unit: requests, price: "0.02", per: "1", valid_from: 2026-01-01}
factors:
  - {book: "tenant:globex", provider: openai, factor: "0.78", valid_from: 2026-01-01}
"""
ACME, GLOBEX = Attribution(tenant="acme", task="answer", user="ann"), Attribution(tenant="globex", category="bot")


TEXT: dict[str, int | D] = {"characters": 512}


def calls() -> list[Any]:
    """A month of every kind: a list price, a tenant's own, a factor, a price no list has, speech, and unknown ones."""
    speech = {"audio_seconds": D("7.37"), "channels": 1}
    return [
        call("a"),
        call("b", attribution=ACME, quantities={"input_tokens": 333, "output_tokens": 77, "cache_read_tokens": 200}),
        call("c", attribution=GLOBEX),
        call("d", provider="house", model="own-1", quantities={"requests": 1}),
        *(
            call(f"e{i}", provider="deepgram", model="nova-2", operation="speech_to_text", quantities=speech)
            for i in range(40)
        ),
        call(
            "f",
            provider="elevenlabs",
            model="eleven_flash_v2_5",
            operation="text_to_speech",
            quantities={"characters": 512},
        ),
        call("g", model="=no-such-model"),
        call("h", attribution=Attribution(tenant="=cmd()")),
    ]


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """A ledger with that month."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
    monkeypatch.setenv("CALLFARE_BILLING_ACCOUNT", "prod-eu")
    with psycopg.connect(database_url, autocommit=True) as connection:
        save_price_file(connection, parse_price_file(OWN_PRICES, "own.yaml"))
        commit(connection, *calls())
        yield connection


def as_url(database_url: str) -> str:
    from tests.support.stored import as_url as url_of

    return url_of(database_url)


def commit(connection: psycopg.Connection[Any], *spans: Any) -> None:
    ledger = LedgerStore(connection.info.dsn)
    ledger.commit([request(*spans)], current_book(connection).price_of_call)
    ledger.close()


@pytest.fixture
def export(database: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Export a month and return its rows."""

    def run(month: str = "2026-09", *arguments: str) -> list[dict[str, str]]:
        path = tmp_path / f"{month}.csv"
        report = (
            "report",
            "--format",
            "focus",
            "--month",
            month,
            "--output",
            str(path),
            "--allow-unpriced",
            *arguments,
        )
        ran = run_command(capsys, *report)
        assert ran.exit_code == 0, ran.err
        with path.open(encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    return run


def ledger_usd(database: Any) -> D:
    return database.execute("select coalesce(sum(cost_usd), 0) from callfare.daily_cost").fetchone()[0]


def total(rows: list[dict[str, str]], column: str = "BilledCost") -> D:
    return sum((D(row[column]) for row in rows), D(0))


def test_the_rows_add_up_to_the_ledger(database: Any, export: Any) -> None:
    """Each tenant too; unit price times quantity is the cost, and a list price stands where a list has one."""
    rows = export()
    assert total(rows) == total(rows, "EffectiveCost") == total(rows, "ContractedCost") == ledger_usd(database)
    for tenant, cost_usd in database.execute("select tenant_id, sum(cost_usd) from callfare.daily_cost group by 1"):
        assert total([row for row in rows if row["SubAccountId"].removeprefix("'") == tenant]) == cost_usd
    for row in rows:
        product = D(row["ContractedUnitPrice"]) * D(row["PricingQuantity"])
        assert abs(product - D(row["ContractedCost"])) <= D("1e-9"), row
        assert (row["BillingAccountId"], row["BillingPeriodStart"]) == ("prod-eu", "2026-09-01T00:00:00Z")
    listed = {(row["SubAccountId"], row["SkuMeter"]): row for row in rows if row["x_Model"] == "gpt-4o-mini"}
    expected = {"default": ("0.15", "0.15"), "acme": ("0.15", "0.11"), "globex": ("0.15", "0.117")}
    for tenant, (list_price, contracted) in expected.items():
        row = listed[tenant, "Input Tokens"]
        assert (D(row["ListUnitPrice"]), D(row["ContractedUnitPrice"])) == (D(list_price), D(contracted))
        assert abs(D(row["ListCost"]) - D(row["ListUnitPrice"]) * D(row["PricingQuantity"])) <= D("1e-9")
    (own,) = [row for row in rows if row["x_Model"] == "own-1"]
    assert (own["ListUnitPrice"], own["ListCost"], own["ContractedCost"]) == ("", "0.02", "0.02")


def test_what_has_no_cost_is_no_row(database: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It is in `unpriced.csv`, the bound is printed, and the exit code is 1; a known part of a cost stays a row."""
    path = tmp_path / "focus.csv"
    command = ("report", "--format", "focus", "--month", "2026-09")
    ran = run_command(capsys, *command, "--output", str(path))
    assert (ran.exit_code, ran.out) == (1, "")
    assert f"≥ ${ledger_usd(database).normalize():f}" in ran.err
    with (tmp_path / "unpriced.csv").open(encoding="utf-8") as stream:
        unpriced = {row["model"]: row for row in csv.DictReader(stream)}
    assert unpriced["'=no-such-model"]["known_cost_usd"] == ""
    assert unpriced["gpt-4o-mini"]["units_without_price"] == "cache_read_tokens"
    assert (unpriced["gpt-4o-mini"]["status"], unpriced["gpt-4o-mini"]["tenant_id"]) == ("partial", "acme")
    text = path.read_text(encoding="utf-8")
    assert "no-such-model" not in text
    assert ",=cmd" not in text
    printed = run_command(capsys, *command, "--allow-unpriced")
    assert (printed.exit_code, printed.out) == (0, text)


def test_parquet_says_the_same(database: Any, export: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With decimals, instants and nulls instead of texts."""
    path = tmp_path / "focus.parquet"
    command = ("report", "--format", "focus", "--month", "2026-09", "--output", str(path), "--allow-unpriced")
    assert run_command(capsys, *command).exit_code == 0
    rows = parquet.read_table(path).to_pylist()
    assert sum(row["BilledCost"] for row in rows) == ledger_usd(database)
    assert {row["InvoiceId"] for row in rows} == {None}
    assert rows[0]["BillingPeriodEnd"] == datetime(2026, 10, 1, tzinfo=UTC)
    assert len(rows) == len(export())


def test_users_are_tagged_when_asked_for(export: Any) -> None:
    """Not by default."""
    assert all("ann" not in row["Tags"] for row in export())
    assert any('"user": "ann"' in row["Tags"] for row in export("2026-09", "--with-ids"))


def test_a_closed_month_stays_and_corrections_follow(database: Any, export: Any) -> None:
    """The same rows as at the close; corrections take old costs back and bill the new ones, in a later month."""
    before = export()
    close_period(database, SEPTEMBER)
    commit(
        database,
        call("a", end_ms=5000, quantities={"input_tokens": 5000, "output_tokens": 700}),
        call("late", attribution=GLOBEX),
        call("lateunknown", model="=no-such-model"),
        call("october", trace=b"o" * 16, start_ms=14 * 86_400_000, end_ms=14 * 86_400_000 + 1000),
    )
    database.execute("update callfare.correction set billed_month = '2026-10-01'")
    assert export() == before
    october = export("2026-10")
    corrections = [row for row in october if row["ChargeClass"] == "Correction"]
    assert {row["ChargePeriodStart"][:7] for row in corrections} == {"2026-09"}
    assert {row["BillingPeriodStart"] for row in october} == {"2026-10-01T00:00:00Z"}
    assert [D(row["BilledCost"]) < 0 for row in corrections].count(True) == 2
    assert total(before) + total(october) == ledger_usd(database)
    reopen_period(database, SEPTEMBER)
    assert total(export()) + total(export("2026-10")) == ledger_usd(database)
    assert not [row for row in export("2026-10") if row["ChargeClass"]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--format", "focus", "--since", "2026-09-02", "--until", "2026-10-01"), "has whole months"),
        (("--format", "focus", "--month", "2026-09", "--output", "x.xlsx"), "end its name in .csv or .parquet"),
        (("--format", "xlsx"), "write --output FILE.xlsx"),
        (("--format", "focus", "--month", "2026-09", "--json"), "leave out the options for tables"),
        (("--format", "focus", "--month", "2026-09", "--group-by", "day"), "leave out the options for tables"),
        (("--format", "csv", "--output", "x.csv"), "--output is for xlsx and focus"),
        (("--allow-unpriced",), "are for --format focus"),
    ],
)
def test_a_mistake_is_one_line(
    database: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], error: str
) -> None:
    """What is wrong, and how to write it; nothing is written."""
    ran = run_command(capsys, "report", *arguments)
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert error in ran.err


@pytest.mark.parametrize("name", ["focus.csv", "focus.parquet", "spend.xlsx"])
def test_a_file_that_cannot_be_written_is_one_line(
    database: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """A folder that is not there."""
    form = "xlsx" if name.endswith("xlsx") else "focus"
    path = tmp_path / "missing" / name
    ran = run_command(capsys, "report", "--format", form, "--month", "2026-09", "--output", str(path))
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "cannot be written" in ran.err


def test_a_purged_month_is_refused(database: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lines are gone: a file without them would look complete."""
    assert run_command(capsys, "purge", "--before", "2026-10-01", "--force").exit_code == 0
    ran = run_command(capsys, "report", "--format", "focus", "--month", "2026-09")
    assert (ran.exit_code, ran.out) == (1, "")
    assert "were purged" in ran.err
