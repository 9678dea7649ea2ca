"""Which tenants a metric may name: labels are for ever, and a span can claim any name."""

import threading
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


class KnownTenants:
    """Whether a tenant may appear in a label: those with a token; without any tokens, the first hundred seen."""

    def __init__(
        self, tokens: TokenDirectory, connect: Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
    ) -> None:
        """Take the directory, and the way to the list of tokens."""
        self._tokens = tokens
        self._connect = connect
        self._lock = threading.Lock()
        self._claimed = {DEFAULT_TENANT}
        self._vouched = {DEFAULT_TENANT}

    def __call__(self, tenant: str) -> bool:
        """Return whether metrics may name this tenant."""
        with self._lock:
            return self._is_vouched(tenant) if self._tokens.has_tokens else self._is_among_first(tenant)

    def _is_vouched(self, tenant: str) -> bool:
        if tenant not in self._vouched:
            with self._connect() as connection:
                self._vouched |= {token.tenant for token in list_all(connection)}
        return tenant in self._vouched

    def _is_among_first(self, tenant: str) -> bool:
        if len(self._claimed) < _CLAIMED_TENANTS_MAX:
            self._claimed.add(tenant)
        return tenant in self._claimed
