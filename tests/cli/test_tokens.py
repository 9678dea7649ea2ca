import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.cli.running import Ran, run_command
from tests.support.stored import SUPPORT_CALL, as_url, filling, running_service, send


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
        for name, tenant, scope in (("acme", "acme", "read"), ("beta", "beta", "read"), ("sender", "acme", "ingest"))
    }
    with running_service(own_database) as addresses:
        url = f"http://{addresses['web']}/v1/workflows/{SUPPORT_CALL.hex()}/cost"
        assert status_of(url, None) == 401
        assert status_of(url, "wrong") == 401
        assert status_of(url, tokens["sender"]) == 403
        assert status_of(url, tokens["beta"]) == 404
        assert status_of(url, tokens["acme"]) == 200
        assert status_of(f"http://{addresses['web']}/healthz", None) == 200


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
