"""Reports: each period once, whichever and however many services run, and every figure the ledger's."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from cost_exporter.alerts.delivery import Deliverer
from cost_exporter.alerts.judge import Judge
from cost_exporter.alerts.reports import make_due_reports
from cost_exporter.domain.attribution import Attribution
from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.settings import AlertRule, ReportRule
from cost_exporter.settings.report_rule import Dimension
from cost_exporter.store.database.session import open_pool
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.alerts.receiver import Receiver, receiving
from tests.cli.running import run_command
from tests.domain.builders import T0_UNIX_NS, call, price_by_sum
from tests.store.requests import request
from tests.support.stored import as_url

DAY = datetime.fromtimestamp(T0_UNIX_NS // 10**9, UTC).replace(hour=0, minute=0, second=0)
NEXT_DAY = DAY + timedelta(days=1, hours=3)
DAY_MS = 86_400_000


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool[Any]]:
    with open_pool(database_url, size_max=8, wait_seconds_max=60, name="alerts") as opened:
        yield opened


def report(**given: Any) -> ReportRule:
    return ReportRule.model_validate({"name": "daily", "every": "day", "to": ["hook"], **given})


def hook(url: str, kind: str = "webhook", name: str = "hook") -> AlertRule:
    given = {"name": name, "kind": kind, "url": url, "on": ("report",), "allow_private": True}
    return AlertRule.model_validate(given)


def spend(database_url: str, days: int = 0, now_ms: int = 0, tenants: tuple[str, ...] = ("acme", "beta")) -> None:
    """Two calls, of two tenants, so many days after the first."""
    start_ms = now_ms + days * DAY_MS
    with closing(LedgerStore(database_url)) as ledger:
        for number, tenant in enumerate(tenants, 1):
            each = call(
                f"{number}",
                trace=f"{number}-{days}".encode().rjust(16, b"\0"),
                attribution=Attribution(tenant=tenant),
                quantities={"input_tokens": 1000 * number + days},
                start_ms=start_ms,
                end_ms=start_ms + 1000,
            )
            ledger.commit([request(each)], price_by_sum)


def made(pool: ConnectionPool[Any]) -> list[tuple[str, str, date]]:
    """Tenant, report and first day of each."""
    with pool.connection() as connection:
        rows = connection.execute(
            "select tenant_id, scope, (window_start at time zone 'UTC')::date from callfare.alert"
            " where kind = 'report' order by made_at, 3"
        )
        return rows.fetchall()


def test_every_dimension_of_a_report_is_one_of_the_command() -> None:
    """The configuration and `callfare report --group-by` know the same names."""
    assert set(Dimension.__args__) == set(COLUMN_BY_DIMENSION)


def test_many_services_make_one_report_of_a_period(database_url: str, pool: ConnectionPool[Any]) -> None:
    """All at once, again and again: one for each period, and the next one only when that is over."""
    spend(database_url)
    counts: list[int] = []

    def make() -> None:
        with pool.connection() as connection:
            counts.append(make_due_reports(connection, [report()], NEXT_DAY))

    for _ in range(3):
        threads = [threading.Thread(target=make) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(counts) == 1
    assert made(pool) == [("", "daily", DAY.date())]
    with pool.connection() as connection:
        assert make_due_reports(connection, [report()], NEXT_DAY + timedelta(hours=20)) == 0
        assert make_due_reports(connection, [report()], NEXT_DAY + timedelta(hours=22)) == 1
        deliveries = connection.execute("select count(*) from callfare.alert_delivery").fetchone()
    assert deliveries == (2,)


def test_its_figures_are_the_ledgers(database_url: str, pool: ConnectionPool[Any]) -> None:
    """The day's, and not the next one's; of one tenant where the report is, to the digit."""
    spend(database_url)
    spend(database_url, days=1)
    rules = [
        report(name="all", format="csv", group_by=["tenant", "model"]),
        report(name="acme", format="csv", group_by="model", tenant="acme"),
        report(name="text"),
    ]
    with pool.connection() as connection:
        assert make_due_reports(connection, rules, NEXT_DAY) == 3
        rows = connection.execute("select scope, tenant_id, facts from callfare.alert order by scope").fetchall()
        days = dict(
            connection.execute(
                "select tenant_id, sum(cost_usd) from callfare.daily_cost where day = %s group by 1", (DAY.date(),)
            ).fetchall()
        )
    facts = {scope: (tenant, facts) for scope, tenant, facts in rows}
    table = list(csv.DictReader(io.StringIO(facts["all"][1]["content"])))
    assert {row["tenant_id"]: D(row["cost_usd"]) for row in table} == days == {"acme": D("0.001"), "beta": D("0.002")}
    assert D(facts["all"][1]["total_cost_usd"]) == sum(days.values())
    assert facts["acme"][0] == "acme"
    assert [D(row["cost_usd"]) for row in csv.DictReader(io.StringIO(facts["acme"][1]["content"]))] == [days["acme"]]
    assert "| beta | gpt-4o-mini | $0.002 |" in facts["text"][1]["content"]


def test_many_groups_end_in_the_sum_of_the_rest(database_url: str, pool: ConnectionPool[Any]) -> None:
    """A list that was cut off without a word would read as all there is."""
    spend(database_url, tenants=tuple(f"t{number}" for number in range(203)))
    with pool.connection() as connection:
        make_due_reports(connection, [report(format="csv")], NEXT_DAY)
        row = connection.execute("select facts from callfare.alert").fetchone()
    assert row is not None
    table = list(csv.DictReader(io.StringIO(row[0]["content"])))
    assert len(table) == 201
    assert table[-1]["tenant_id"] == "3 more groups"
    assert sum(D(each["cost_usd"]) for each in table) == D(row[0]["total_cost_usd"])


def now_ms() -> int:
    """Yesterday at noon, in milliseconds after the instant that test calls count from."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return (int(noon.timestamp()) * 10**9 - T0_UNIX_NS) // 10**6


def judge_of(pool: ConnectionPool[Any], rules: list[AlertRule], reports: list[ReportRule]) -> Judge:
    return Judge(
        pool.connection,
        rules,
        reports=reports,
        prices_checked_on=lambda: date(2099, 1, 1),
        mismatch_count=lambda: None,
        count_given_up=lambda _: None,
    )


def test_it_comes_by_the_outbox_of_alerts_once(database_url: str, pool: ConnectionPool[Any]) -> None:
    """Two services sweep and deliver; the receiver fails at first. Webhook, Slack and Discord each get it once."""
    spend(database_url, now_ms=now_ms())
    with receiving() as receiver:
        kinds = ("webhook", "slack", "discord")
        rules = [hook(f"{receiver.url}/{kind}", kind, kind) for kind in kinds]
        reports = [report(to=list(kinds))]
        receiver.answers = [(500, {})]
        for _ in range(2):
            judge_of(pool, rules, reports).sweep()
        deliverers = [
            Deliverer(pool.connection, rules, page_url="https://c.example", wait_after=_at_once) for _ in "ab"
        ]
        for _ in range(2):
            for deliverer in deliverers:
                for rule in rules:
                    while deliverer.deliver_next(rule):
                        pass
        bodies = _bodies(receiver)
    assert sorted(bodies) == sorted(f"/hook/{kind}" for kind in ("webhook", "webhook", "slack", "discord"))
    data = json.loads(receiver.got[1][2])["data"]
    assert data["total_cost_usd"] == "0.003"
    assert "| beta | gpt-4o-mini | $0.002 |" in data["content"]
    texts = [json.loads(body).get("text") or json.loads(body)["content"] for _, _, body in receiver.got[2:]]
    for text in texts:
        assert "0.003 USD in all" in text
        assert "```\n## Spend" in text
        assert text.endswith("https://c.example/spend")


def _at_once(_: int) -> timedelta:
    return timedelta(0)


def _bodies(receiver: Receiver) -> list[str]:
    return [path for path, _, _ in receiver.got]


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_a_long_report_says_how_much_is_missing(database_url: str, pool: ConnectionPool[Any], kind: str) -> None:
    """Chats cut messages: whole lines are kept, the block is closed, and a name with backticks does not open one."""
    tenants = tuple(f"tenant-with-a-long-name-```-{number}" for number in range(60))
    spend(database_url, now_ms=now_ms(), tenants=tenants)
    with receiving() as receiver:
        rule = hook(receiver.url, kind)
        judge_of(pool, [rule], [report()]).sweep()
        assert Deliverer(pool.connection, [rule], page_url="https://c.example").deliver_next(rule)
        body = json.loads(receiver.got[0][2])
    text = body.get("text") or body["content"]
    assert len(text) <= {"slack": 3000, "discord": 2000}[kind]
    assert text.count("```") == 2
    *_, more, fence, link = text.split("\n")
    kept = sum(line.startswith("| tenant") for line in text.split("\n")) - 1
    assert (more, fence, link) == (f"... and {60 - kept + 2} more lines", "```", "https://c.example/spend")


def test_the_command_prints_or_sends_it(
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`--dry-run` sends nothing; without it the report goes now, and a receiver that refuses it is exit 1."""
    spend(database_url, now_ms=now_ms())
    with receiving() as receiver:
        path = tmp_path / "callfare.yaml"
        path.write_text(
            f"alerts: [{{name: hook, kind: webhook, url: '{receiver.url}', on: [report], allow_private: true}}]\n"
            "reports: [{name: daily, every: day, to: hook, group_by: tenant, format: csv}]\n"
        )
        monkeypatch.setenv("CALLFARE_CONFIG", str(path))
        monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
        printed = run_command(capsys, "alert", "report", "daily", "--dry-run")
        assert printed.exit_code == 0
        assert "0.003 USD in all" in printed.out
        assert receiver.got == []
        assert run_command(capsys, "alert", "report", "daily").exit_code == 0
        assert json.loads(receiver.got[0][2])["type"] == "callfare.report"
        receiver.answers = [(500, {})]
        failed = run_command(capsys, "alert", "report", "daily")
        assert (failed.exit_code, failed.err) == (1, "error: not every receiver took the report: hook: HTTP 500\n")
        unknown = run_command(capsys, "alert", "report", "weekly")
        assert "there is no report 'weekly'; the configuration has daily" in unknown.err
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from callfare.alert").fetchone() == (0,)
