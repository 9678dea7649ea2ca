"""Which tenants a metric may name: labels are for ever, and a span can claim any name."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from cost_exporter.domain.cost import DEFAULT_TENANT
from cost_exporter.store.token_directory import TokenDirectory
from cost_exporter.store.tokens import list_all

__all__ = ["KnownTenants"]

_CLAIMED_TENANTS_MAX: Final = 100
_SECONDS_MAX: Final = 1.0
"""How far behind the table of tokens it may be."""


class KnownTenants:
    """Whether a tenant may appear in a label: those with a token; without any tokens, the first hundred seen."""

    def __init__(
        self,
        tokens: TokenDirectory,
        connect: Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]],
        *,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the directory, and the way to the list of tokens."""
        self._tokens = tokens
        self._connect = connect
        self._monotonic_seconds = monotonic_seconds
        self._read_at_seconds = float("-inf")
        self._lock = threading.Lock()
        self._claimed = {DEFAULT_TENANT}
        self._vouched = {DEFAULT_TENANT}

    def __call__(self, tenant: str) -> bool:
        """Return whether metrics may name this tenant."""
        with self._lock:
            return self._is_vouched(tenant) if self._tokens.has_tokens else self._is_among_first(tenant)

    def _is_vouched(self, tenant: str) -> bool:
        # A relay may name any number of tenants that have no token: they share one look into the table.
        if tenant not in self._vouched and self._monotonic_seconds() - self._read_at_seconds >= _SECONDS_MAX:
            with self._connect() as connection:
                self._vouched |= {tenant for token in list_all(connection) for tenant in token.tenants}
            self._read_at_seconds = self._monotonic_seconds()
        return tenant in self._vouched

    def _is_among_first(self, tenant: str) -> bool:
        if len(self._claimed) < _CLAIMED_TENANTS_MAX:
            self._claimed.add(tenant)
        return tenant in self._claimed
