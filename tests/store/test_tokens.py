from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import CallfareError, StoreUnavailable, Unauthenticated
from cost_exporter.store.tokens import Credential, Scope, TokenDirectory, create, list_all, lookup, revoke


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Door:
    """Lends the connection; can be shut, as when the database is away."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self.database = database
        self.is_shut = False
        self.lent = 0

    @contextmanager
    def __call__(self) -> Iterator[psycopg.Connection[Any]]:
        if self.is_shut:
            raise psycopg.OperationalError("connection refused")
        self.lent += 1
        yield self.database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(database: psycopg.Connection[Any]) -> Door:
    return Door(database)


@pytest.fixture
def directory(door: Door, clock: Clock) -> TokenDirectory:
    return TokenDirectory(door, seconds_max=1.0, monotonic_seconds=clock)


def test_a_token_is_shown_once_and_stored_hashed(database: psycopg.Connection[Any]) -> None:
    """The token leads to its tenant and scope; the table does not hold it in any form that could be shown."""
    token = create(database, "acme", Scope.INGEST)
    assert len(token) >= 43
    found = lookup(database, token)
    assert found is not None
    assert (found.tenant, found.scope) == ("acme", Scope.INGEST)
    rows = database.execute("select t::text, encode(token_hash, 'hex') from callfare.token t").fetchall()
    assert token not in str(rows)
    assert lookup(database, token + "x") is None
    assert create(database, "acme", Scope.INGEST) != token


def test_tokens_are_listed_and_revoked(database: psycopg.Connection[Any]) -> None:
    """A revoked token is out of force, and stays in the list as evidence."""
    token = create(database, "acme", Scope.READ)
    create(database, "other", Scope.RELAY)
    assert [(each.tenant, each.scope, each.revoked_at) for each in list_all(database)] == [
        ("other", Scope.RELAY, None),
        ("acme", Scope.READ, None),
    ]
    token_id = list_all(database)[1].token_id
    assert revoke(database, token_id)
    assert not revoke(database, token_id)
    assert not revoke(database, 10**9)
    assert lookup(database, token) is None
    assert list_all(database)[1].revoked_at is not None


def test_a_token_without_a_tenant_is_refused(database: psycopg.Connection[Any]) -> None:
    """A token for nobody is a mistake; the message says what is missing."""
    with pytest.raises(CallfareError, match="--tenant"):
        create(database, "  ", Scope.INGEST)


def test_without_tokens_everybody_is_let_in(directory: TokenDirectory) -> None:
    """No token was ever made: there is no credential to ask for."""
    assert directory(None) is None
    assert directory("anything") is None
    assert not directory.has_tokens


def test_with_tokens_only_their_holders_are_let_in(directory: TokenDirectory, database: Any) -> None:
    """From the first token on, none and wrong ones are refused."""
    token = create(database, "acme", Scope.INGEST)
    found = directory(token)
    assert isinstance(found, Credential)
    assert (found.tenant, found.scope, directory.has_tokens) == ("acme", Scope.INGEST, True)
    for wrong in (None, "", "wrong", token[:-1]):
        with pytest.raises(Unauthenticated):
            directory(wrong)


def test_changes_are_seen_after_a_moment_and_not_asked_for_before(
    directory: TokenDirectory, door: Door, clock: Clock, database: Any
) -> None:
    """The database is read once a moment, not once a request."""
    assert directory(None) is None
    token = create(database, "acme", Scope.INGEST)
    assert directory(None) is None
    assert door.lent == 1
    clock.seconds = 1.0
    assert directory(token) is not None
    revoke(database, list_all(database)[0].token_id)
    assert directory(token) is not None
    clock.seconds = 2.0
    with pytest.raises(Unauthenticated):
        directory(token)
    assert door.lent == 3


def test_revoking_the_last_token_does_not_open_the_door(directory: TokenDirectory, database: Any) -> None:
    """Once there were tokens, a stranger stays a stranger."""
    create(database, "acme", Scope.INGEST)
    revoke(database, list_all(database)[0].token_id)
    assert directory.has_tokens
    with pytest.raises(Unauthenticated):
        directory(None)


def test_while_the_database_is_away_known_tokens_stay_in_force(
    directory: TokenDirectory, door: Door, clock: Clock, database: Any
) -> None:
    """A sender must not take a failing database for a refusal and drop its data."""
    token = create(database, "acme", Scope.INGEST)
    assert directory(token) is not None
    door.is_shut, clock.seconds = True, 60.0
    assert directory(token) is not None
    door.is_shut, clock.seconds = False, 120.0
    assert directory(token) is not None


def test_a_database_that_was_never_there_is_unavailable_not_unauthenticated(
    directory: TokenDirectory, door: Door
) -> None:
    """Nobody can tell who is asking, so everybody is asked to try again."""
    door.is_shut = True
    with pytest.raises(StoreUnavailable):
        directory("anything")
