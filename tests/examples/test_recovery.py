"""docs/operations/recovery.md, run as it is written on real servers: what is there afterwards, and what is named."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlencode

import grpc
import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cost_exporter.settings import Address
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.examples.documents import blocks
from tests.examples.shell import Shell
from tests.store.requests import request
from tests.support.stored import filling, open_folder, running_service, send
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("CALLFARE_RECOVERY"), reason="servers of their own: CALLFARE_RECOVERY=1, as make full does"
    ),
]

PAGE = blocks("../operations/recovery")
CALLS_IN_FILLING = 3


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account may enter."""
    with open_folder() as found:
        yield found


@contextmanager
def running(folder: Path, *, from_start: bool = True) -> Iterator[EmbeddedPostgres]:
    """Lend a server, and stop it afterwards."""
    server = EmbeddedPostgres(folder)
    if from_start:
        server.start()
    try:
        yield server
    finally:
        if folder.exists():
            server.stop()


class Terminal(Shell):
    """The terminal of the person who runs the servers, with their programs in PATH."""

    def __init__(self, folder: Path, url: str) -> None:
        home = folder / "home"
        home.mkdir()
        given = {"HOME": str(home), "CALLFARE_DATABASE_URL": url, "CALLFARE_DATA_DIR": str(folder / "data")}
        super().__init__(home, given)
        self._of_servers = super().run(blocks("../operations/backup")["app programs"]).strip()

    def run(self, commands: str, **variables: str) -> str:
        return super().run(f"export PATH={self._of_servers}:$PATH\n{commands}", **variables)


def test_recovery_to_a_point_in_time(folder: Path) -> None:
    """What came before is there, what came later is named as gone until it is accepted."""
    with running(folder / "pg") as server:
        reader = Terminal(folder, server.url)
        migrate(server.url)
        reader.run(PAGE["app archive"])
        give(folder / "home" / "wal", to=server.data_dir)
        server.stop()
        server.start()
        store(server.url, "a")
        reader.run(PAGE["app base"])
        store(server.url, "b")
        until = one(server.url, "select clock_timestamp()::text")
        store(server.url, "c")
        store(server.url, "d")
        assert "sound" in reader.run(PAGE["verify"])
        log = one(server.url, "select pg_walfile_name(pg_switch_wal())")
        wait_until("the archive", (folder / "home" / "wal" / log).exists)
        server.stop()
        reader.run(PAGE["app recover"], RECOVERY_TIME=until)
        server.data_dir.rename(folder / "former")
        give(folder / "home" / "base", to=folder / "former")
        (folder / "home" / "base").rename(server.data_dir)
        server.start()
        wait_until("the promotion", lambda: not one(server.url, "select pg_is_in_recovery()"))
        assert calls(server.url) == len("ab")
        accept_what_is_named(reader, "timeline 2, not 1", "transactions that were seen are gone")


def test_failover(folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby that commits wait for has all; one that lags lacks what is named, also by a running service."""
    monkeypatch.setattr("cost_exporter.cli.service._LOOK_AT_LEDGER_EVERY_SECONDS", 0.5)
    first, second, third = (folder / name for name in ("first", "second", "third"))
    url = one_address(first, second, third)
    with (
        running(first) as server,
        running(second, from_start=False) as standby,
        running(third, from_start=False) as last,
    ):
        reader = Terminal(folder, url)
        migrate(url)
        make_standby(reader, server, standby)
        reader.run(PAGE["app synchronous"])
        wait_until("the standby", lambda: "|sync|" in reader.run(PAGE["app lag"]))
        with running_service(url, data_dir=folder / "service") as addresses:
            send(addresses["grpc"], filling(1_790_000_000 * 10**9))
            assert "sound" in reader.run(PAGE["verify"])
            kill(server)
            reader.run(PAGE["app promote"], STANDBY_URL=standby.url)
            reader.run(PAGE["app alone"])
            accept_what_is_named(reader, "timeline 2, not 1")
            assert calls(url) == CALLS_IN_FILLING
            wait_until("the service", lambda: "timeline 2, not 1" in caplog.text)
            wait_until("an acknowledgement", lambda: is_taken(addresses["grpc"], filling(1_790_000_060 * 10**9)))
        make_standby(reader, standby, last)
        last.stop()
        store(url, "lost")
        assert calls(url) == CALLS_IN_FILLING + 1
        assert "sound" in reader.run(PAGE["verify"])
        kill(standby)
        last.start()
        reader.run(PAGE["app promote"], STANDBY_URL=last.url)
        assert calls(url) == CALLS_IN_FILLING
        accept_what_is_named(reader, "timeline 3, not 2", "transactions that were seen are gone")


def make_standby(reader: Terminal, server: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
    reader.run(PAGE["app standby"])
    copy = reader.folder / "standby"
    give(copy, to=server.data_dir)
    copy.rename(standby.data_dir)
    standby.start()


def accept_what_is_named(reader: Terminal, *named: str) -> None:
    shown = reader.run(PAGE["verify"].strip() + " || test $? = 1")
    assert all(each in shown for each in named)
    assert shown.count("replaced_database") == len(named)
    assert "sound" in reader.run(PAGE["app accept"])
    assert "sound" in reader.run(PAGE["verify"])


def one_address(*data_dirs: Path) -> str:
    """The URL that names all servers, of which one takes writes."""
    parts = [conninfo_to_dict(EmbeddedPostgres(each).url) for each in data_dirs]
    rest = {name: ",".join(str(each[name]) for each in parts) for name in ("host", "port")}
    return f"postgresql://callfare@/callfare?{urlencode(rest | {'target_session_attrs': 'read-write'})}"


def is_taken(address: Address, request_bytes: bytes) -> bool:
    """Send as senders do, who come again after what is UNAVAILABLE."""
    try:
        send(address, request_bytes)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


def kill(server: EmbeddedPostgres) -> None:
    """Without a last word to anybody; and it stays down."""
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    children = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=60)
    server.data_dir.rename(server.data_dir.with_name(f"former-{server.data_dir.name}"))


def give(folder: Path, *, to: Path) -> None:
    """Let the account of the server at `to` own a folder."""
    owner = to.stat()
    for each in (folder, *folder.rglob("*")):
        os.chown(each, owner.st_uid, owner.st_gid)


def store(url: str, name: str) -> None:
    with closing(LedgerStore(url)) as ledger:
        ledger.commit([request(call(name))], price_by_sum)


def one(url: str, query: LiteralString) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def calls(url: str) -> int:
    return one(url, "select count(*) from callfare.cost_record")
