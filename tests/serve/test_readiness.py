"""`/readyz` and `/healthz` while something hangs: an answer within a bounded time."""

import asyncio
import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from cost_exporter.errors import StoreUnavailable
from cost_exporter.serve.readiness import Readiness
from cost_exporter.store.database import session
from cost_exporter.store.database.session import connect
from cost_exporter.store.reading import ReaderPool
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def readers(database_url: str) -> Iterator[ReaderPool]:
    pool = ReaderPool(database_url)
    yield pool
    pool.close()


def problem(readiness: Readiness) -> str:
    return asyncio.run(asyncio.wait_for(readiness.problem(), PATIENCE_SECONDS))


def test_a_database_that_answers_is_ready(readers: ReaderPool) -> None:
    """And a worker that gives no sign of life is not."""
    assert problem(Readiness(readers.lend, lambda: True)) == ""
    assert "no worker" in problem(Readiness(readers.lend, lambda: False))


def test_a_database_that_hangs_is_not_ready_and_keeps_one_connection_busy() -> None:
    """Whoever asks waits a bounded time, and all share one question."""
    release = threading.Event()
    lent: list[int] = []

    @contextmanager
    def lend() -> Generator[Any]:
        lent.append(1)
        release.wait(PATIENCE_SECONDS)
        yield None

    readiness = Readiness(lend, lambda: True, seconds_max=0.05)
    try:
        assert [problem(readiness) for _ in range(3)] == [
            "the database does not answer; is its server stopped, or its disk hung?"
        ] * 3
        assert len(lent) == 1
    finally:
        release.set()


def test_what_the_store_says_is_the_problem() -> None:
    """A database that is away is named as everywhere."""

    @contextmanager
    def lend() -> Generator[Any]:
        raise StoreUnavailable("no server there")
        yield

    assert problem(Readiness(lend, lambda: True)) == "no server there"


def test_a_server_that_is_stopped_is_given_up(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes every byte and answers none: without an end of its own the statement would wait for ever."""
    monkeypatch.setattr(session, "_ANSWER_SECONDS_MAX", 0.5)
    with connect(database_url, autocommit=True, is_impatient=True) as connection:
        assert connection.execute("select pg_sleep(0.2)").fetchone() is not None
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.OperationalError, match="has not answered"):
                connection.execute("select 1")
        finally:
            os.kill(backend, signal.SIGCONT)
        assert connection.closed
