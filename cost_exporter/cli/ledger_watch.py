"""Look now and then whether the database of a running service is still the one it was."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from cost_exporter.store.identity import SeenLedgers, identity_of

__all__ = ["LedgerWatch"]

_log = logging.getLogger(__name__)
Lend = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class LedgerWatch:
    """Logs once what was replaced; `callfare verify` names it until it is accepted."""

    def __init__(self, lend: Lend, seen: SeenLedgers) -> None:
        """`seen` is what was seen under this address before, also by earlier processes."""
        self._lend = lend
        self._seen = seen
        self._logged: list[str] = []

    def look(self) -> None:
        """Compare, and remember what is here."""
        with self._lend() as connection:
            found = self._seen.check(lambda: identity_of(connection))
        if found and found != self._logged:
            _log.error(
                "the database was replaced: %s; if that is right, run `callfare verify --accept-database`",
                "; ".join(found),
            )
        self._logged = found
