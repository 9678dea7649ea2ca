"""A real PostgreSQL for every test that asks for one: one server a session, one fresh database a test."""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import hypothesis
import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from tests.support.waiting import PATIENCE_SECONDS

# Of the terminal that the tests were started in: tables would fold where their words are looked for.
os.environ.pop("COLUMNS", None)

# Where bytecode is not kept, each of a few hundred programs that tests start compiles callfare again, and each worker
# of pytest-xdist every test.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# We fork only to start other programs, as the command does: a worker whose gRPC threads run would abort such a child
# before it becomes the program. Programs that fork themselves start without it (tests/instrumentation).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Nothing timed decides a test; and where a machine decides, the same examples must be tried every time.
hypothesis.settings.register_profile(
    "callfare",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("callfare")

_numbers = count(1)

# Of the server that tests share. Making a database flushes hundreds of files, and nothing in it outlives a crash of
# the machine anyway; PostgreSQL crashes only where a test has a server of its own, which callfare makes as always.
_FORGETFUL = ("fsync = off", "full_page_writes = off", "max_wal_size = '256MB'")
_MEMORY_BYTES_MIN = 4 << 30
_PREFIX = "callfare-tests-"
_FOLDER = Path(__file__).parent
# A file goes to a worker as a whole: if a long one came last, the others would wait for it.
_LONGEST_FIRST = (
    "instrumentation/test_older_sdks.py",
    "instrumentation/test_auto_instrumentation.py",
    "receive/test_workers.py",
    *("kafka/", "end_to_end/", "cli/test_demo.py", "cli/test_up.py", "examples/", "crash/", "calls/"),
    *("cli/test_processes.py", "instrumentation/budget/", "serve/test_browser.py", "instrumentation/test_spooled.py"),
    *("store/", "cli/"),
)


def pytest_xdist_auto_num_workers() -> int:
    """Return half as many workers again as there are cores: a test often waits for a program that it starts."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make full` runs, and begin with what takes longest."""
    if os.environ.get("CALLFARE_FULL") != "1":
        left_out = {item for item in items if item.get_closest_marker("full")}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    path = item.path.relative_to(_FOLDER).as_posix()
    return next((place for place, begins in enumerate(_LONGEST_FIRST) if path.startswith(begins)), len(_LONGEST_FIRST))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a server on which databases may be made: embedded, or that of CALLFARE_TEST_DATABASE_URL."""
    given = os.environ.get("CALLFARE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    memory = _in_memory()
    if memory is not None:
        _forget_killed(memory)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=memory))
    server = EmbeddedPostgres(directory / "pg")
    lock = (directory / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        url = server.start()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in _FORGETFUL:
                connection.execute(f"alter system set {setting}".encode())
            connection.execute("select pg_reload_conf()")
        yield url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
        lock.close()


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> Iterator[str]:
    """Name of a migrated, empty database to copy."""
    name = f"callfare_template_{os.getpid()}"
    _create(postgres_url, name)
    migrate(_on(postgres_url, name))
    yield name
    _drop(postgres_url, name)


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """URL of a database without any schema."""
    name = f"callfare_empty_{os.getpid()}_{next(_numbers)}"
    _create(postgres_url, name)
    yield _on(postgres_url, name)
    _drop(postgres_url, name)


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """URL of a migrated database of the test's own. After the test its books must balance."""
    name = f"callfare_test_{os.getpid()}_{next(_numbers)}"
    _create(postgres_url, name, template=template_database)
    url = _on(postgres_url, name)
    yield url
    with psycopg.connect(url) as connection:
        problems = connection.execute("select * from callfare.integrity_check").fetchall()
    _drop(postgres_url, name)
    assert problems == []


def _in_memory() -> Path | None:
    """Return a folder of files in memory for the server, or None where there is no room: a copy costs a third of it."""
    folder = Path("/dev/shm")  # where Linux has it
    has_room = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _MEMORY_BYTES_MIN
    return folder if has_room else None


def _forget_killed(folder: Path) -> None:
    """Stop and remove the servers of sessions that were killed: they would keep their memory for ever."""
    for path in folder.glob(f"{_PREFIX}*/lock"):
        with suppress(OSError), path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its session lives: BlockingIOError
            with suppress(OSError, ValueError, psutil.Error):
                postmaster = psutil.Process(int((path.parent / "pg" / "postmaster.pid").read_text().split()[0]))
                if str(path.parent) in " ".join(postmaster.cmdline()):
                    postmaster.send_signal(signal.SIGQUIT)
                    postmaster.wait(PATIENCE_SECONDS)
            shutil.rmtree(path.parent, ignore_errors=True)


def _on(url: str, database: str) -> str:
    return make_conninfo(**(conninfo_to_dict(url) | {"dbname": database}))


def _create(url: str, name: str, template: str = "template1") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # Copying files costs a tenth of writing each page to the log as well.
        statement = sql.SQL("create database {} template {} strategy file_copy")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _drop(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
