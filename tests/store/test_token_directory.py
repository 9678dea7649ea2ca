"""The directory of tokens: current the moment a token is presented, and closed once it was closed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import StoreUnavailable, Unauthenticated
from cost_exporter.store.token_directory import TokenDirectory, bearer_token
from cost_exporter.store.tokens import Credential, TokenScope, create, list_all, revoke
from tests.support.waiting import PATIENCE_SECONDS, wait_until


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
        self.before: Callable[[], object] = lambda: None

    @contextmanager
    def __call__(self) -> Iterator[psycopg.Connection[Any]]:
        if self.is_shut:
            raise psycopg.OperationalError("connection refused")
        self.lent += 1
        self.before()
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


def test_without_tokens_everybody_is_let_in(directory: TokenDirectory) -> None:
    """No token was ever made: there is no credential to ask for."""
    assert directory(None) is None
    assert not directory.has_tokens


def test_with_tokens_only_their_holders_are_let_in(directory: TokenDirectory, database: Any) -> None:
    """From the first token on, none and wrong ones are refused."""
    token = create(database, ["acme"], [TokenScope.INGEST])
    found = directory(token)
    assert isinstance(found, Credential)
    assert (found.tenants, found.scopes, directory.has_tokens) == ({"acme"}, {TokenScope.INGEST}, True)
    for wrong in (None, "", "wrong", token[:-1]):
        with pytest.raises(Unauthenticated):
            directory(wrong)


def test_changes_are_seen_after_a_moment_and_not_asked_for_before(
    directory: TokenDirectory, door: Door, clock: Clock, database: Any
) -> None:
    """Once there are tokens, the database is read once a moment, not once a request."""
    token = create(database, ["acme"], [TokenScope.INGEST])
    for _ in range(3):
        assert directory(token) is not None
    assert door.lent == 1
    clock.seconds = 1.0
    assert directory(token) is not None
    assert door.lent == 2
    revoke(database, list_all(database)[0].token_id)
    assert directory(token) is not None
    assert door.lent == 2
    clock.seconds = 2.0
    with pytest.raises(Unauthenticated):
        directory(token)


def test_revoking_the_last_token_does_not_open_the_door(directory: TokenDirectory, database: Any) -> None:
    """Once there were tokens, a stranger stays a stranger."""
    create(database, ["acme"], [TokenScope.INGEST])
    revoke(database, list_all(database)[0].token_id)
    assert directory.has_tokens
    with pytest.raises(Unauthenticated):
        directory(None)


def test_while_the_database_is_away_known_tokens_stay_in_force(
    directory: TokenDirectory, door: Door, clock: Clock, database: Any
) -> None:
    """A sender must not take a failing database for a refusal and drop its data."""
    token = create(database, ["acme"], [TokenScope.INGEST])
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


@pytest.mark.parametrize("token", ["anything", "", "cf_stale"])
def test_a_presented_token_is_never_taken_for_none(directory: TokenDirectory, token: str) -> None:
    """Where no token exists, one that is presented is refused: whoever sends it relies on it."""
    assert directory(None) is None
    with pytest.raises(Unauthenticated):
        directory(token)


def test_a_token_counts_from_the_moment_it_was_created(directory: TokenDirectory, database: Any) -> None:
    """The clock stands still: neither the first token nor a later one waits for the next reading."""
    assert directory(None) is None
    for tenant in ("acme", "beta"):
        found = directory(create(database, [tenant], [TokenScope.INGEST]))
        assert found is not None
        assert found.namespace == tenant
    with pytest.raises(Unauthenticated):
        directory(None)


def test_the_first_token_closes_the_door_at_once(directory: TokenDirectory, database: Any) -> None:
    """The clock stands still: from the moment it exists nobody is let in without a token, not even for a second."""
    assert directory(None) is None
    create(database, ["acme"], [TokenScope.INGEST])
    with pytest.raises(Unauthenticated):
        directory(None)


def test_nobody_is_let_in_without_a_token_while_that_cannot_be_decided(
    directory: TokenDirectory, door: Door, clock: Clock
) -> None:
    """The first token may have been created before the database went away: the sender is asked to try again."""
    assert directory(None) is None
    door.is_shut, clock.seconds = True, 60.0
    with pytest.raises(StoreUnavailable):
        directory(None)
    door.is_shut = False
    assert directory(None) is None


class CountedLock:
    """A lock that knows how many threads came to it."""

    def __init__(self) -> None:
        self.came = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.came += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_strangers_do_not_queue_at_the_database(
    directory: TokenDirectory, door: Door, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many unknown tokens at once share a reading: two at most for a crowd that came together."""
    create(database, ["acme"], [TokenScope.INGEST])
    assert directory.has_tokens
    lock = CountedLock()
    monkeypatch.setattr(directory, "_lock", lock)
    inside, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        assert may_go.wait(PATIENCE_SECONDS)

    def is_refused(token: str) -> bool:
        with pytest.raises(Unauthenticated):
            directory(token)
        return True

    door.before = hold
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(is_refused, "first")
        assert inside.wait(PATIENCE_SECONDS)
        others = [threads.submit(is_refused, f"stranger {number}") for number in range(7)]
        wait_until("seven more", lambda: lock.came == 8)
        may_go.set()
        assert all(each.result() for each in (first, *others))
    assert door.lent == 3  # at the start, for the first stranger, and for all that came during that


@pytest.mark.parametrize("emptied_by", ["truncate callfare.token", "truncate callfare.token, callfare.token_ever"])
def test_an_emptied_table_does_not_open_the_door(
    directory: TokenDirectory, clock: Clock, database: Any, emptied_by: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A restore of a backup without tokens leaves a running service closed, and says so once."""
    token = create(database, ["acme"], [TokenScope.INGEST])
    assert directory(token) is not None
    database.execute(emptied_by)
    for seconds in (1.0, 2.0, 3.0):
        clock.seconds = seconds
        for presented in (None, token):
            with pytest.raises(Unauthenticated):
                directory(presented)
    assert directory.has_tokens
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert directory(create(database, ["acme"], [TokenScope.INGEST])) is not None


def test_a_service_started_on_an_emptied_table_is_closed(door: Door, database: Any) -> None:
    """The database remembers that there were tokens."""
    create(database, ["acme"], [TokenScope.INGEST])
    database.execute("truncate callfare.token")
    directory = TokenDirectory(door)
    assert directory.has_tokens
    with pytest.raises(Unauthenticated):
        directory(None)


def test_outside_loopback_nobody_is_let_in_without_a_token(door: Door, database: Any) -> None:
    """Where others can connect, an empty table means nobody."""
    directory = TokenDirectory(door, is_always_closed=True)
    with pytest.raises(Unauthenticated):
        directory(None)
    assert not directory.has_tokens
    assert directory(create(database, ["acme"], [TokenScope.INGEST])) is not None


def test_an_unknown_token_is_not_refused_while_the_database_is_away(
    directory: TokenDirectory, door: Door, database: Any
) -> None:
    """It may have been created a moment ago: its sender is asked to try again, and keeps its data."""
    token = create(database, ["acme"], [TokenScope.INGEST])
    assert directory(token) is not None
    newer = create(database, ["acme"], [TokenScope.INGEST])
    door.is_shut = True
    with pytest.raises(StoreUnavailable):
        directory(newer)
    assert directory(token) is not None
    door.is_shut = False
    assert directory(newer) is not None


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        ([""], None),
        (["Basic cHJveHk6c2VjcmV0"], None),
        (["Bearer cf_x"], "cf_x"),
        (["  bearer   cf_x  "], "cf_x"),
        (["BEARER cf_x"], "cf_x"),
        (["Bearer\tcf_x"], "cf_x"),
        (["Bearer"], ""),
        (["Bearer "], ""),
        (["Bearer cf_x", "Bearer cf_x"], "cf_x"),
        (["Basic cHJveHk6c2VjcmV0", "Bearer cf_x"], "cf_x"),
    ],
)
def test_the_token_of_a_header(headers: list[str], token: str | None) -> None:
    """The scheme in any case, blanks around the token; another scheme is somebody else's credential."""
    assert bearer_token(*headers) == token


@pytest.mark.parametrize(
    "headers", [["cf_x"], ["Token cf_x"], ["Basic cf_x"], ["Bearer cf_x", "Bearer cf_y"], ["Bearer cf_x", "Bearer"]]
)
def test_a_token_that_cannot_be_used_is_refused(headers: list[str]) -> None:
    """A token without its scheme, or beside another one, is not taken for no token."""
    with pytest.raises(Unauthenticated, match="Bearer TOKEN"):
        bearer_token(*headers)
