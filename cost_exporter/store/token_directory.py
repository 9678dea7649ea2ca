"""Recognise tokens from memory, at most a moment behind the database.

    a token in force            its credential
    a token not known here      the table is read again first: it may have just been created
    no token                    None where tokens were never used and only this machine can connect, else refused;
                                before it is let in, the table is read again too: the first token may be new

Two rules must never break. A presented token is never ignored: it is recognised or refused, even where no token
exists. And once the service is closed to strangers it stays closed, even if the table is emptied under it.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import psycopg

from cost_exporter.errors import StoreError, StoreUnavailable, Unauthenticated
from cost_exporter.store.tokens import Connection, Credential, in_force, token_hash, write_last_use

__all__ = ["Authenticate", "TokenDirectory", "anyone", "bearer_token"]

_log = logging.getLogger(__name__)
_SCHEME: Final = "bearer"
_PREFIX: Final = "cf_"


class Authenticate(Protocol):
    """Resolves a token to its credential: `TokenDirectory` in a running service."""

    def __call__(self, token: str | None) -> Credential | None:
        """Return the credential of a token; None where there is no token and none is needed.

        Raises `Unauthenticated` for a token that is not in force and for a missing one where one is needed, and
        `StoreUnavailable` where that cannot be decided now: a sender must not drop data because the database is away.
        """
        ...


def anyone(token: str | None) -> None:
    """Let everybody in: for a loopback address without tokens, and for tests."""
    del token


def bearer_token(*authorization: str) -> str | None:
    """Return the token in the `Authorization` headers of a request; None where they hold none.

    Raises `Unauthenticated` where a token is there and cannot be used, so that it is never taken for no token.
    """
    presented = {token for header in authorization if (token := _token_in(header)) is not None}
    if len(presented) > 1:
        raise Unauthenticated("the request has several tokens; send one `authorization: Bearer TOKEN`")
    return presented.pop() if presented else None


def _token_in(header: str) -> str | None:
    scheme, *rest = header.split(maxsplit=1) or [""]
    if scheme.lower() == _SCHEME:
        return rest[0].strip() if rest else ""
    if _PREFIX in header:
        raise Unauthenticated("the token is not sent as a bearer token; write `authorization: Bearer TOKEN`")
    return None  # a credential for somebody else, such as a proxy's Basic


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The tokens as last read."""

    credentials: Mapping[bytes, Credential]
    has_tokens: bool
    """Whether there is or ever was a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One attempt to read the table."""

    number: int
    is_done: bool


class TokenDirectory:
    """Resolves tokens to credentials. Thread-safe.

    While the database is away, the tokens last seen stay in force: otherwise a sender would take a failing
    database for a refusal and drop its data.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        *,
        is_always_closed: bool = False,
        seconds_max: float = 1.0,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` lends a connection; `seconds_max` is how far behind the directory may be.

        `is_always_closed`: nobody is let in without a token, because others than this machine can connect.
        """
        self._connect = connect
        self._is_always_closed = is_always_closed
        self._seconds_max = seconds_max
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._known = _Known(credentials={}, has_tokens=False)
        self._begun_count = 0
        self._last = _Reading(number=0, is_done=False)
        self._read_at_seconds: float | None = None
        self._used_at: dict[int, datetime] = {}

    def __call__(self, token: str | None) -> Credential | None:
        """Return who presents the token; None where there is no token and none is needed."""
        if token is None:
            if not self.is_closed:
                self._read_anew()  # the first token may have been created a moment ago
            if self.is_closed:
                raise Unauthenticated("a token is needed: send `authorization: Bearer TOKEN`")
            return None
        self._refresh()
        hashed = token_hash(token)
        credential = self._known.credentials.get(hashed)
        if credential is None:
            self._read_anew()
            credential = self._known.credentials.get(hashed)
        if credential is None:
            raise Unauthenticated("the token is unknown or revoked; create one with `callfare token create`")
        self._used_at[credential.token_id] = datetime.now(UTC)
        return credential

    def write_last_use(self) -> None:
        """Keep when the tokens were used since the last time. Called once a minute, and at the end."""
        used_at, self._used_at = self._used_at, {}
        if used_at:
            with self._connect() as connection:
                write_last_use(connection, used_at)

    @property
    def has_tokens(self) -> bool:
        """Whether tokens are, or ever were, configured: outside addresses need them."""
        self._refresh()
        return self._known.has_tokens

    @property
    def is_closed(self) -> bool:
        """Whether everybody needs a token."""
        return self._is_always_closed or self._known.has_tokens

    def _refresh(self) -> None:
        """Read the tokens again if it is time. One thread does; the others go on with what is known."""
        if self._read_at_seconds is None:
            self._read_anew()
        elif self._is_due() and self._lock.acquire(blocking=False):
            try:
                if self._is_due():
                    self._read()
            finally:
                self._lock.release()

    def _is_due(self) -> bool:
        return self._monotonic_seconds() - (self._read_at_seconds or 0.0) >= self._seconds_max

    def _read_anew(self) -> None:
        """Return when the table was read after this call began. Raises `StoreUnavailable` where it cannot be.

        Threads that wait share one reading, so that strangers cannot keep more than one connection busy.
        """
        begun_before = self._begun_count
        with self._lock:
            if self._last.number <= begun_before:
                self._read()
            if not self._last.is_done:
                raise StoreUnavailable("cannot read the tokens: the database is away; try again")

    def _read(self) -> None:
        self._begun_count += 1
        number, begun_at_seconds = self._begun_count, self._monotonic_seconds()
        try:
            with self._connect() as connection:
                self._learn(connection)
        except (psycopg.Error, StoreError):
            self._last = _Reading(number=number, is_done=False)
            if self._read_at_seconds is not None:
                self._read_at_seconds = begun_at_seconds
        else:
            self._last = _Reading(number=number, is_done=True)
            self._read_at_seconds = begun_at_seconds

    def _learn(self, connection: Connection) -> None:
        credentials, were_made = in_force(connection)
        if self._known.credentials and not credentials:
            _log.error(
                "no token is in force any more: nobody is let in until you run `callfare token create`;"
                " if nobody revoked them, was the database restored?"
            )
        self._known = _Known(credentials=credentials, has_tokens=were_made or self._known.has_tokens)
