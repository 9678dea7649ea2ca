"""The embedded server: made, adopted, restarted after it was killed, stopped; with its safety on."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cost_exporter.errors import StoreError
from cost_exporter.store.database.embedded import EmbeddedPostgres
from tests.support.processes import has_ended
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    directory = Path(tempfile.mkdtemp(prefix="callfare-embedded-"))
    embedded = EmbeddedPostgres(directory / "pg")
    embedded.start()
    yield embedded
    embedded.stop()
    shutil.rmtree(directory, ignore_errors=True)


def test_a_commit_is_a_promise(server: EmbeddedPostgres) -> None:
    """fsync, synchronous_commit and full_page_writes are on, and nothing listens on TCP."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
    with psycopg.connect(server.url) as connection:
        found = [connection.execute(f"show {name}").fetchone() for name in names]  # pyright: ignore[reportArgumentType]
    assert found == [("on",), ("on",), ("on",), ("",)]


def test_a_running_server_is_adopted(server: EmbeddedPostgres) -> None:
    """A second one on the same directory uses what runs."""
    other = EmbeddedPostgres(server.data_dir)
    assert other.start() == server.url
    assert other.was_adopted


def test_an_adopted_server_in_use_is_not_stopped(server: EmbeddedPostgres) -> None:
    """Whoever came second leaves the first one's database alone; a server that nobody uses any more is stopped."""
    other = EmbeddedPostgres(server.data_dir)
    other.start()
    with psycopg.connect(server.url) as connection:
        other.release()
        assert connection.execute("select 1").fetchone() == (1,)
    other.release()
    assert server.ensure_running()


def test_a_start_that_is_interrupted_leaves_no_server(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the server's start and the first connection: nobody else would know that it runs."""
    server.stop()
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedPostgres, "_make_database", interrupt)
        with pytest.raises(KeyboardInterrupt):
            EmbeddedPostgres(server.data_dir).start()
    assert not (server.data_dir / "postmaster.pid").exists()
    server.start()


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_a_killed_server_is_started_again(server: EmbeddedPostgres) -> None:
    """After SIGKILL what was committed is there."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create table kept (number int)")
        connection.execute("insert into kept values (7)")
    assert not server.ensure_running()
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_until("its end", lambda: has_ended(pid))
    assert server.ensure_running()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("select number from kept").fetchall() == [(7,)]


def test_the_url_works_with_psql(server: EmbeddedPostgres) -> None:
    """The printed URL is one that people can use."""
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("no psql on this machine")
    done = subprocess.run([psql, server.url, "-Atc", "select 1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_a_directory_of_another_major_version_is_refused(server: EmbeddedPostgres) -> None:
    """One line says so, instead of a log file."""
    file = server.data_dir / "PG_VERSION"
    version = file.read_text()
    try:
        file.write_text("11\n")
        with pytest.raises(StoreError, match="made by PostgreSQL 11"):
            EmbeddedPostgres(server.data_dir).start()
    finally:
        file.write_text(version)


def test_a_long_path_still_gets_a_socket() -> None:
    """The socket moves to the temporary directory where the path would be too long for the kernel."""
    directory = Path(tempfile.mkdtemp(prefix="callfare-" + "long" * 20))
    embedded = EmbeddedPostgres(directory / "pg")
    try:
        with psycopg.connect(embedded.start()) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        embedded.stop()
        shutil.rmtree(directory, ignore_errors=True)
