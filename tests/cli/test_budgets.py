"""`callfare budget`: set, seen, removed and released from the command line."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from cost_exporter.store.budgets.accounts import CallScope
from cost_exporter.store.budgets.definitions import BudgetSpec, put_budget
from cost_exporter.store.budgets.reserving import reserve
from tests.cli.running import Ran, run_command
from tests.support.stored import SUPPORT_CALL, as_url, filling, running_service, send

SET = ("budget", "set", "acme-day", "--tenant", "acme", "--window", "day", "--limit", "5")


@pytest.fixture
def own_database(database_url: str) -> str:
    """A database of this test's own."""
    return as_url(database_url)


@pytest.fixture
def callfare(own_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on that database."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", own_database)
    return lambda *arguments: run_command(capsys, *arguments)


def test_a_budget_is_set_listed_seen_and_removed(callfare: Any) -> None:
    """As JSON and as tables; what is not stated has its default."""
    assert callfare(*SET, "--soft-percent", "80", "--threshold", "50").out == "budget acme-day is set: 5 USD a day\n"
    assert callfare("budget", "set", "each", "--tenant", "*", "--limit", "9", "--hard", "no").exit_code == 0
    first, second = callfare("budget", "list", "--json").json["budgets"]
    assert (first["name"], first["hard"], first["thresholds"], first["unpriced"]) == (
        "acme-day",
        True,
        ["50", "80", "100"],
        "refuse",
    )
    assert (second["window"], second["hard"], second["unpriced"]) == ("month", False, "allow")
    (status,) = callfare("budget", "status", "--json").json["budgets"]  # nobody has used the other one yet
    assert (status["limit_usd"], status["spent_usd"], status["remaining_usd"], status["utilisation"]) == (
        *("5", "0", "5", "0"),
    )
    assert "acme-day" in callfare("budget", "status").out
    assert "each" in callfare("budget", "list").out
    assert callfare("budget", "remove", "each").exit_code == 0
    assert callfare("budget", "remove", "each").exit_code == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--window", "week"), "--window: 'week' is no window"),
        (("--limit", "lots"), "--limit: 'lots' is not a decimal number"),
        (("--hard", "maybe"), "--hard"),
        (("--user", "u", "--model", "m"), "by user and model together"),
        (("--raise-by", "3"), "needs raised_by_usd and raised_until"),
    ],
)
def test_a_mistake_is_one_line_and_exits_2(callfare: Any, options: tuple[str, ...], words: str) -> None:
    """By the rules of the configuration file, with the option's name."""
    ran: Ran = callfare(*SET, *options)
    assert ran.exit_code == 2
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_what_a_silent_process_holds_is_named_and_released(callfare: Any, own_database: str) -> None:
    """Not while it is alive."""
    callfare(*SET)
    with psycopg.connect(own_database, autocommit=True) as connection:
        made = reserve(connection, CallScope(tenant="acme"), Decimal("0.40"), namespace="default")
        assert made.reservation_id is not None
        assert callfare("budget", "release", made.reservation_id).exit_code == 1
        connection.execute("update callfare.reservation set state = 'expired', closed_at = now()")
    shown: Ran = callfare("budget", "status")
    assert made.reservation_id in shown.out
    assert "0.4 USD of what is reserved belongs to processes that fell silent" in shown.out
    assert callfare("budget", "status", "--json").json["held"][0]["held_usd"] == "0.4"
    assert callfare("budget", "release", made.reservation_id).exit_code == 0
    assert callfare("budget", "status", "--json").json["budgets"][0]["reserved_usd"] == "0"
    assert callfare("budget", "release", "nothing").exit_code == 1


def test_an_exceeded_budget_exits_1(callfare: Any, own_database: str) -> None:
    """So that a script can ask."""
    callfare(*SET, "--hard", "no")
    assert callfare("budget", "status").exit_code == 0
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(
            "insert into callfare.daily_rollup (tenant_id, day, category, provider, model, operation, slot, cost_usd,"
            " request_count, unpriced_count, duplicate_count, llm_calls, input_tokens, output_tokens, characters,"
            " audio_seconds, call_seconds, duration_ns)"
            " values ('acme', (now() at time zone 'UTC')::date, 'c', 'p', 'm', 'o', 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)"
        )
        ran: Ran = callfare("budget", "status", "--json")
        connection.execute("delete from callfare.daily_rollup")
    assert ran.exit_code == 1
    (budget,) = ran.json["budgets"]
    assert (budget["remaining_usd"], budget["utilisation"], budget["reached_percent"]) == ("-1", "120", "100")


def test_a_trace_ends_with_the_budgets_of_its_tenant(callfare: Any, own_database: str) -> None:
    """How much of each is used in the window that runs."""
    with running_service(own_database) as addresses:
        send(addresses["grpc"], filling(1_790_000_000 * 10**9))
    callfare("budget", "set", "acme-total", "--tenant", "acme", "--window", "total", "--limit", "1")
    shown: Ran = callfare("trace", SUPPORT_CALL.hex())
    (line,) = [line for line in shown.out.splitlines() if line.startswith("budget ")]
    assert line.startswith("budget acme-total of acme: ≥ ")
    assert line.endswith(" % of 1 USD in all")
    assert "budgets" not in callfare("trace", SUPPORT_CALL.hex(), "--json").json


def test_a_limit_is_raised_for_a_time(callfare: Any) -> None:
    """Nothing else of the budget changes; a later raise replaces it."""
    callfare(*SET, "--threshold", "50")
    assert callfare("budget", "raise", "acme-day", "--by", "20", "--until", "2099-12-05").exit_code == 0
    (raised,) = callfare("budget", "list", "--json").json["budgets"]
    assert (raised["limit_usd"], raised["raised_by_usd"], raised["thresholds"]) == ("5", "20", ["50", "100"])
    (status,) = callfare("budget", "status", "--json").json["budgets"]
    assert (status["limit_usd"], status["remaining_usd"]) == ("25", "25")
    assert callfare("budget", "raise", "acme-day", "--by", "0", "--until", "2099-12-05").exit_code == 0
    (status,) = callfare("budget", "status", "--json").json["budgets"]
    assert status["limit_usd"] == "5"
    assert "--by: 'lots'" in callfare("budget", "raise", "acme-day", "--by", "lots", "--until", "2099-12-05").err
    assert (
        "there is no budget 'other'" in callfare("budget", "raise", "other", "--by", "1", "--until", "2099-12-05").err
    )


def test_a_database_that_is_not_migrated_yet_is_named(
    empty_database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may be about to do it: one line, and no traceback."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(empty_database_url))
    ran = run_command(capsys, *SET)
    assert ran.exit_code == 1
    assert ran.err.startswith("error: the database has no callfare schema: run `callfare migrate`, or start a service")
    assert ran.err.count("\n") == 1


def test_a_budget_of_the_configuration_file_is_raised_there(callfare: Any, own_database: str) -> None:
    """At its next start the service would take the raise back."""
    spec = BudgetSpec(name="filed", tenant="acme", time_window="day", limit_usd=Decimal(5), is_from_file=True)
    with psycopg.connect(own_database, autocommit=True) as database:
        put_budget(database, spec)
    ran = callfare("budget", "raise", "filed", "--by", "20", "--until", "2099-12-05")
    assert ran.exit_code == 1
    assert "configuration file" in ran.err
