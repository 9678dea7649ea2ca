import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cost_exporter.cli.tokens import expiry_of
from cost_exporter.errors import CallfareError
from cost_exporter.store.tokens import in_force, token_hash
from tests.cli.running import Ran, run_command
from tests.support.stored import SUPPORT_CALL, as_url, filling, running_service, send

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def own_database(database_url: str) -> str:
    """A database of this test's own: a token changes what everybody may do."""
    return as_url(database_url)


@pytest.fixture
def callfare(own_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on that database."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", own_database)
    return lambda *arguments: run_command(capsys, *arguments)


def test_token_is_shown_once_and_can_be_revoked(callfare: Any) -> None:
    """Creating prints the token, listing does not, and revoking takes it out of force once."""
    token = callfare("token", "create", "--tenant", "acme", "--scope", "read", "--json").json["token"]
    listed: Ran = callfare("token", "list", "--json")
    assert token not in listed.out
    (known,) = listed.json["tokens"]
    assert (known["tenant"], known["scope"], known["revoked_at"]) == ("acme", "read", None)
    assert callfare("token", "revoke", str(known["token_id"])).exit_code == 0
    again: Ran = callfare("token", "revoke", str(known["token_id"]))
    assert (again.exit_code, again.err.count("\n")) == (1, 1)
    assert callfare("token", "create", "--tenant", " ").exit_code == 1
    assert callfare("token", "create", "--tenant", "a", "--scope", "all").exit_code == 2


def test_api_shows_a_tenant_its_own_alone(callfare: Any, own_database: str) -> None:
    """With tokens, the API needs one; another tenant's workflow is 404, and an ingest token may not read."""
    with running_service(own_database) as addresses:
        send(addresses["grpc"], filling(1_790_000_000 * 10**9))
    tokens = {
        name: callfare("token", "create", "--tenant", tenant, "--scope", scope, "--json").json["token"]
        for name, tenant, scope in (
            ("acme", "acme", "read"),
            ("beta", "beta", "read"),
            ("sender", "acme", "ingest"),
            ("everybody", "*", "read"),
        )
    }
    with running_service(own_database) as addresses:
        url = f"http://{addresses['web']}/v1/workflows/{SUPPORT_CALL.hex()}/cost"
        assert status_of(url, None) == 401
        assert status_of(url, "wrong") == 401
        assert status_of(url, tokens["sender"]) == 403
        assert status_of(url, tokens["beta"]) == 404
        assert status_of(url, tokens["acme"]) == 200
        assert status_of(url, tokens["everybody"]) == 200
        assert status_of(f"http://{addresses['web']}/healthz", None) == 200


def test_a_token_can_have_several_scopes_and_tenants(callfare: Any) -> None:
    """Both options are given again for more; the list has them in one order, each once."""
    several = ("--tenant", "b", "--tenant", "a", "--tenant", "b", "--scope", "admin", "--scope", "read")
    assert callfare("token", "create", *several).exit_code == 0
    assert callfare("token", "create", "--tenant", "a", "--scope", "read", "--scope", "ingest").exit_code == 0
    newest, oldest = callfare("token", "list", "--json").json["tokens"]
    assert (newest["tenants"], newest["scopes"]) == (["a"], ["ingest", "read"])
    assert (oldest["tenants"], oldest["scopes"]) == (["a", "b"], ["read", "admin"])
    assert (oldest["tenant"], oldest["scope"]) == ("a,b", "read,admin")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tenant", "a", "--tenant", "b"),
        ("--tenant", "a", "--tenant", "b", "--scope", "read", "--scope", "relay"),
        ("--tenant", "*", "--scope", "read", "--scope", "ingest"),
        ("--tenant", "*", "--tenant", "a", "--scope", "read"),
        ("--tenant", "a\nb"),
        ("--tenant", "x" * 257),
        (),
    ],
)
def test_tenants_and_scopes_that_do_not_go_together_are_refused(callfare: Any, arguments: tuple[str, ...]) -> None:
    """Who sends does it for one tenant; '*' stands alone."""
    refused: Ran = callfare("token", "create", *arguments)
    assert refused.exit_code in {1, 2}
    assert "--tenant" in refused.err
    assert callfare("token", "list", "--json").json["tokens"] == []


def test_the_last_use_of_a_token_is_listed(callfare: Any, own_database: str) -> None:
    """Written when the service stops at the latest; a token that nobody uses has none."""
    used = callfare("token", "create", "--tenant", "acme", "--scope", "read", "--json").json["token"]
    callfare("token", "create", "--tenant", "beta", "--scope", "read")
    with running_service(own_database) as addresses:
        assert status_of(f"http://{addresses['web']}/v1/costs", used) == 200
    unused, known = callfare("token", "list", "--json").json["tokens"]
    assert unused["last_used_at"] is None
    age = datetime.now(UTC) - datetime.fromisoformat(known["last_used_at"])
    assert timedelta(seconds=-5) < age < timedelta(minutes=10)


@pytest.mark.parametrize("scope", ["ingest", "relay"])
def test_no_sender_is_of_all_tenants(callfare: Any, scope: str) -> None:
    """Spans belong to one tenant."""
    refused: Ran = callfare("token", "create", "--tenant", "*", "--scope", scope)
    assert (refused.exit_code, refused.err.count("\n")) == (1, 1)


def test_a_token_can_end_by_itself(callfare: Any, own_database: str) -> None:
    """It is listed with its end, and out of force from then on."""
    token = callfare("token", "create", "--tenant", "acme", "--expires", "90d", "--json").json["token"]
    assert callfare("token", "list", "--json").json["tokens"][0]["expires_at"] is not None
    with psycopg.connect(own_database, autocommit=True) as connection:
        assert token_hash(token) in in_force(connection)[0]
        connection.execute("update callfare.token set created_at = now() - interval '2 s', expires_at = now()")
        assert in_force(connection) == ({}, True)
    assert callfare("token", "create", "--tenant", "acme", "--expires", "2020-01-01").exit_code == 1


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [
        ("12h", NOW + timedelta(hours=12)),
        ("90d", NOW + timedelta(days=90)),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_when_a_token_ends(text: str, expires_at: datetime) -> None:
    """A duration from now on, or the beginning of a day in UTC."""
    assert expiry_of(text, NOW) == expires_at


@pytest.mark.parametrize("text", ["", "soon", "0d", "-1d", "2026-11-30", "9999999d", "1w", "2027-13-01"])
def test_a_time_that_cannot_be_is_refused(text: str) -> None:
    """Past, or not a time: one line that says what to write."""
    with pytest.raises(CallfareError, match="--expires"):
        expiry_of(text, NOW)


def status_of(url: str, token: str | None) -> int:
    request = urllib.request.Request(url, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["success"]
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except json.JSONDecodeError:
        return 200
