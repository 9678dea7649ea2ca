"""Tokens as rows: stored hashed, listed without the token, revoked and kept."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import CallfareError
from cost_exporter.store.database.migrate import migrate, migrations
from cost_exporter.store.tokens import (
    Credential,
    TokenScope,
    create,
    in_force,
    list_all,
    revoke,
    token_hash,
    write_last_use,
)

VERSION_THAT_REMEMBERS = 30
VERSION_OF_SEVERAL_SCOPES = 85
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def holder_of(database: psycopg.Connection[Any], token: str) -> Credential | None:
    credentials, _ = in_force(database)
    return credentials.get(token_hash(token))


def test_a_token_is_shown_once_and_stored_hashed(database: psycopg.Connection[Any]) -> None:
    """The token leads to its tenant and scope; the table does not hold it in any form that could be shown."""
    token = create(database, ["acme"], [TokenScope.INGEST])
    assert len(token) >= 43
    found = holder_of(database, token)
    assert found is not None
    assert (found.tenants, found.scopes) == ({"acme"}, {TokenScope.INGEST})
    rows = database.execute("select t::text, encode(token_hash, 'hex') from callfare.token t").fetchall()
    assert token not in str(rows)
    assert holder_of(database, token + "x") is None
    assert create(database, ["acme"], [TokenScope.INGEST]) != token


def test_tokens_are_listed_and_revoked(database: psycopg.Connection[Any]) -> None:
    """A revoked token is out of force, and stays in the list as evidence."""
    token = create(database, ["acme"], [TokenScope.READ])
    create(database, ["other"], [TokenScope.RELAY])
    assert [(*each.tenants, *each.scopes, each.revoked_at) for each in list_all(database)] == [
        ("other", TokenScope.RELAY, None),
        ("acme", TokenScope.READ, None),
    ]
    token_id = list_all(database)[1].token_id
    assert revoke(database, token_id)
    assert not revoke(database, token_id)
    assert not revoke(database, 10**9)
    assert holder_of(database, token) is None
    assert list_all(database)[1].revoked_at is not None


def test_a_token_without_a_tenant_is_refused(database: psycopg.Connection[Any]) -> None:
    """A token for nobody is a mistake; the message says what is missing."""
    with pytest.raises(CallfareError, match="--tenant"):
        create(database, ["  "], [TokenScope.INGEST])


def test_the_last_use_only_moves_forward(database: psycopg.Connection[Any]) -> None:
    """Two services write it, one of them late."""
    create(database, ["acme"], [TokenScope.INGEST])
    (token,) = list_all(database)
    assert token.last_used_at is None
    for at in (NOON, NOON + timedelta(minutes=1), NOON):
        write_last_use(database, {token.token_id: at, 10**9: at})
    assert list_all(database)[0].last_used_at == NOON + timedelta(minutes=1)


def test_tokens_of_an_older_version_keep_tenant_and_scope(empty_database_url: str) -> None:
    """A token of one tenant and one scope is one of lists with one entry."""
    steps = migrations()
    migrate(empty_database_url, [step for step in steps if step.version < VERSION_OF_SEVERAL_SCOPES])
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            "insert into callfare.token (token_hash, tenant_id, scope) values (%s, '*', 'metrics')", (bytes(32),)
        )
        migrate(empty_database_url, steps)
        (token,) = list_all(connection)
        assert (token.tenants, token.scopes) == (("*",), (TokenScope.METRICS,))
        assert in_force(connection)[0][bytes(32)].is_of_all_tenants


@pytest.mark.parametrize("emptied_by", ["truncate callfare.token", "delete from callfare.token"])
def test_it_is_remembered_that_there_was_a_token(database: psycopg.Connection[Any], emptied_by: Any) -> None:
    """Neither no token yet nor one that was rolled back counts; an emptied table does."""
    assert in_force(database) == ({}, False)
    with database.transaction(force_rollback=True):
        create(database, ["acme"], [TokenScope.INGEST])
    assert in_force(database) == ({}, False)
    create(database, ["acme"], [TokenScope.INGEST])
    create(database, ["acme"], [TokenScope.READ])
    database.execute(emptied_by)
    assert in_force(database) == ({}, True)


def test_tokens_made_by_an_older_version_are_remembered(empty_database_url: str) -> None:
    """Upgrading with tokens in the table counts as having had them; upgrading without does not."""
    steps = migrations()
    older = [step for step in steps if step.version < VERSION_THAT_REMEMBERS]
    migrate(empty_database_url, older)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            "insert into callfare.token (token_hash, tenant_id, scope) values (%s, 'acme', 'ingest')", (bytes(32),)
        )
        migrate(empty_database_url, steps)
        connection.execute("truncate callfare.token")
        assert in_force(connection) == ({}, True)


def test_a_secret_scanner_finds_a_token(database: psycopg.Connection[Any]) -> None:
    """By the rule of SECURITY.md, also in the middle of a line; a hash or an id of callfare's is none."""
    (rule,) = re.findall(r"`(\\bcf_[^`]+)`", (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8"))
    for _ in range(20):
        token = create(database, ["acme"], [TokenScope.READ])
        assert re.findall(rule, f'authorization: "Bearer {token}"') == [token]
    assert re.search(rule, f"cf_{'x' * 42} cf_{'x' * 44} cf_{'a' * 32}") is None
