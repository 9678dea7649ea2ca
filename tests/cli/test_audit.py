"""The audit log: every change of prices, budgets, tokens and re-ratings, whoever made it; nothing is taken out."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.running import run_command
from tests.support.stored import as_url

PRICES = """\
prices:
  - {provider: acme-ai, model: m-1, unit: input_tokens, price: "1", per: "1000000", valid_from: 2026-01-01,
     source: "https://example.com", checked: 2026-11-01}
"""


@pytest.fixture
def callfare(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a database of this test's own."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
    return lambda *arguments: run_command(capsys, *arguments)


@pytest.fixture
def database(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True, application_name="by hand") as connection:
        yield connection


def changes(callfare: Any) -> list[tuple[str, str]]:
    """What was changed, the oldest first."""
    found = callfare("audit", "list", "--json").json["changes"]
    return [(each["action"], each["subject"]) for each in reversed(found)]


def test_tokens_are_audited_without_what_is_secret(callfare: Any, database: Any) -> None:
    """Made and revoked, by whom; the hash is not in it, and a use of the token is no change."""
    callfare("token", "create", "--tenant", "acme", "--scope", "read")
    ((token_id, hashed),) = database.execute(
        "select token_id, encode(token_hash, 'hex') from callfare.token"
    ).fetchall()
    database.execute("update callfare.token set last_used_at = now()")
    callfare("token", "revoke", str(token_id))
    assert changes(callfare) == [("token created", str(token_id)), ("token changed", str(token_id))]
    listed = callfare("audit", "list", "--json")
    assert hashed not in listed.out
    newest, oldest = listed.json["changes"]
    assert oldest["details"]["after"]["tenants"] == ["acme"]
    assert oldest["program"].startswith("callfare: ")
    assert list(newest["details"]["after"]) == ["revoked_at"]
    assert "token created" in callfare("audit", "list").out


def test_prices_are_audited(callfare: Any, tmp_path: Path) -> None:
    """A price file that is loaded is a change, with its name and the checksum of what it holds."""
    (tmp_path / "ours.yaml").write_text(PRICES)
    assert callfare("prices", "load", str(tmp_path / "ours.yaml")).exit_code == 0
    ((action, _),) = changes(callfare)
    (change,) = callfare("audit", "list", "--json").json["changes"]
    assert (action, change["details"]["after"]["row_count"]) == ("prices created", 1)


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        (
            "insert into callfare.rerate (since, until, book_version, state) select now(), 'infinity', 1, 'applying'",
            "rerate created",
        ),
        ("truncate callfare.token", "token emptied"),
    ],
)
def test_a_change_by_hand_is_in_it(callfare: Any, database: Any, statement: Any, action: str) -> None:
    """Whoever has the password and goes around the program."""
    database.execute(statement)
    assert [each for each, _ in changes(callfare)] == [action]
    (change,) = callfare("audit", "list", "--json").json["changes"]
    assert change["program"] == "by hand"


def test_the_progress_of_a_rerate_is_no_change(callfare: Any, database: Any) -> None:
    """Its end is."""
    database.execute(
        "insert into callfare.rerate (since, until, book_version, state)"
        " values ('2026-01-01', '2026-02-01', 'x', 'applying')"
    )
    database.execute("update callfare.rerate set records = 5, after_usd = 2")
    database.execute("update callfare.rerate set state = 'applied', applied_at = now()")
    assert [action for action, _ in changes(callfare)] == ["rerate created", "rerate changed"]


@pytest.mark.parametrize(
    "statement", ["update callfare.audit set program = 'x'", "delete from callfare.audit", "truncate callfare.audit"]
)
def test_nothing_is_taken_out(callfare: Any, database: Any, statement: Any) -> None:
    """Not even by the owner, unless he takes the triggers away first."""
    callfare("token", "create", "--tenant", "acme")
    with pytest.raises(psycopg.errors.RaiseException):
        database.execute(statement)
    assert len(changes(callfare)) == 1


def test_reading_roles_do_not_see_it(database: Any) -> None:
    """It names what all tenants have."""
    with database.transaction(force_rollback=True):
        database.execute("set local role callfare_reader_all")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("select * from callfare.audit")
