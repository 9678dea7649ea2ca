"""Which tenants metrics may name, and what it costs to find out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from cost_exporter.cli.tenants import KnownTenants
from cost_exporter.store.token_directory import TokenDirectory
from cost_exporter.store.tokens import TokenScope, create


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_tenants_of_a_relay_share_one_look_at_the_tokens(database: psycopg.Connection[Any]) -> None:
    """They have no tokens of their own, and each would be looked up again at every scrape."""
    looks, now_seconds = [0], [100.0]

    @contextmanager
    def connect() -> Iterator[psycopg.Connection[Any]]:
        looks[0] += 1
        yield database

    create(database, ["acme"], [TokenScope.RELAY])
    tokens = TokenDirectory(connect, monotonic_seconds=lambda: now_seconds[0])
    known = KnownTenants(tokens, connect, monotonic_seconds=lambda: now_seconds[0])
    assert known("acme")
    before = looks[0]
    assert not any(known(f"tenant-{number}") for number in range(1_500))
    assert looks[0] - before <= 1
    create(database, ["tenant-7"], [TokenScope.INGEST])
    now_seconds[0] += 1
    assert known("tenant-7")
    assert known("acme")
    assert not known("tenant-8")


def test_without_tokens_the_first_hundred_are_named(database: psycopg.Connection[Any]) -> None:
    """Anybody can claim a name then, and a label stays for ever."""

    @contextmanager
    def connect() -> Iterator[psycopg.Connection[Any]]:
        yield database

    known = KnownTenants(TokenDirectory(connect), connect)
    assert sum(known(f"tenant-{number}") for number in range(500)) == 99
    assert known("default")
