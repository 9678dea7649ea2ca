"""The price book in force, for a process that refreshes it by itself while spans come."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.store.database.session import connect
from cost_exporter.store.price_books import BookKeeper

__all__ = ["RefreshedBooks"]

_LOG = logging.getLogger(__name__)
_REFRESH_SECONDS: Final = 1.0


class RefreshedBooks:
    """Holds the book, and asks for a new version at most once a second. Thread-safe."""

    def __init__(self, database_url: str, paths: Sequence[Path] = ()) -> None:
        """Load the book. Raises what the database raises."""
        self._database_url = database_url
        self._connection: psycopg.Connection[Any] | None = self._connect()
        self._keeper = BookKeeper(self._connection, paths)
        self._refreshed_at_seconds = time.monotonic()
        self._refreshing = threading.Lock()

    @property
    def book(self) -> PriceBook:
        """The book in force."""
        return self._keeper.book

    def refresh(self) -> None:
        """Load a new version if there is one; if the database is unreachable the book in force stays.

        Afterwards the book is at most a second old. Callers wait for a refresh that is running: a record priced with an
        outdated book would not be re-rated.
        """
        if self.is_fresh:
            return
        with self._refreshing:
            if self.is_fresh:
                return
            try:
                self._connection = self._connection or self._connect()
                self._keeper.refresh(self._connection)
            except psycopg.Error:
                _LOG.warning("the database does not answer; prices stay as they are")
                self._disconnect()
            self._refreshed_at_seconds = time.monotonic()

    def close(self) -> None:
        """Let go of the connection."""
        with self._refreshing:
            self._disconnect()

    @property
    def is_fresh(self) -> bool:
        """Whether `refresh` has nothing to do."""
        return time.monotonic() - self._refreshed_at_seconds < _REFRESH_SECONDS

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._database_url, autocommit=True, is_impatient=True)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
