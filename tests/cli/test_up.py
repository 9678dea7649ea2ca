import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cost_exporter.settings import Address
from tests.cli.running import run_program, start_program
from tests.support.ports import free_ports
from tests.support.stored import as_url, filling, send
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ANYWHERE = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0")


@contextmanager
def running(
    command: str, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run `up` or `serve` and lend the process and its printed addresses."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        start_program(command, *ANYWHERE, errors=errors, **environment) as process,
    ):
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            assert all(lines), errors.seek(0) or errors.read()
            yield process, dict(line.split() for line in lines)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(timeout=PATIENCE_SECONDS)


def test_up_prints_its_addresses_serves_and_stops(data_dir: Path) -> None:
    """`up` prints one `name address` line each, all of them work, and SIGTERM ends it and its database with exit 0."""
    with running("up", CALLFARE_DATA_DIR=str(data_dir)) as (process, addresses):
        assert list(addresses) == ["grpc", "http", "web", "database"]
        assert addresses["database"].startswith("postgresql://")
        send(Address.parse(addresses["grpc"]), filling(time.time_ns()))
        with psycopg.connect(addresses["database"]) as connection:
            assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (3,)
        with urllib.request.urlopen(f"http://{addresses['web']}/readyz") as answer:
            assert answer.status == 200
        assert stopped(process) == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(addresses["database"], connect_timeout=2)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_up_adopts_a_database_that_still_runs(data_dir: Path) -> None:
    """After a kill -9 the next `up` takes over the running PostgreSQL, and what was stored is there."""
    environment = {"CALLFARE_DATA_DIR": str(data_dir), "CALLFARE_PROCESSES": "1"}
    pid_file = data_dir / "postgres" / "postmaster.pid"
    with running("up", **environment) as (process, addresses):
        send(Address.parse(addresses["grpc"]), filling(time.time_ns()))
        process.kill()
        process.wait()
    pid = pid_file.read_text().splitlines()[0]
    with running("up", **environment) as (process, addresses):
        assert pid_file.read_text().splitlines()[0] == pid
        with psycopg.connect(addresses["database"]) as connection:
            assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (3,)
        assert stopped(process, signal.SIGINT) == 0


def test_a_second_up_leaves_the_database_to_the_first(data_dir: Path) -> None:
    """Started by mistake, or beside it on other ports: when it ends, the first one's PostgreSQL still is the same."""
    environment = {"CALLFARE_DATA_DIR": str(data_dir), "CALLFARE_PROCESSES": "1"}
    pid_file = data_dir / "postgres" / "postmaster.pid"
    with running("up", **environment) as (first, addresses):
        pid = pid_file.read_text().splitlines()[0]
        assert run_program("up", "--grpc", addresses["grpc"], **environment).exit_code == 2
        with running("up", **environment) as (second, _):
            assert stopped(second) == 0
        assert pid_file.read_text().splitlines()[0] == pid
        send(Address.parse(addresses["grpc"]), filling(time.time_ns()))
        assert stopped(first) == 0
    assert not pid_file.exists()


def test_up_restarts_a_database_that_died(data_dir: Path) -> None:
    """When the embedded PostgreSQL is killed, `up` brings it back and the next sender is served."""
    with running("up", CALLFARE_DATA_DIR=str(data_dir)) as (process, addresses):
        pid_file = data_dir / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
        wait_until("readiness", lambda: is_ready(addresses["web"]))
        wait_until("an acknowledgement", lambda: is_taken(Address.parse(addresses["grpc"])))
        assert stopped(process) == 0


def is_ready(web: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{web}/readyz", timeout=60) as answer:
            return answer.status == 200
    except OSError:
        return False


def is_taken(address: Address) -> bool:
    import grpc

    try:
        send(address, filling(time.time_ns()))
    except grpc.RpcError:
        return False
    return True


@pytest.mark.parametrize("option", ["--grpc", pytest.param("--http", marks=pytest.mark.full), "--web"])
def test_address_in_use_is_one_line(filled: str, option: str) -> None:
    """A taken port is one line that names the option, exit 2, whichever of the ports it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        others = [
            part for pair in zip(ANYWHERE[::2], ANYWHERE[1::2], strict=True) if pair[0] != option for part in pair
        ]
        ran = run_program("serve", "--db", filled, "--processes", "1", option, address, *others)
    assert (ran.exit_code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {option}: {address} is already in use")
    assert ran.err.count("\n") == 1


def test_outside_address_without_tokens_is_refused(database_url: str) -> None:
    """An address that strangers can reach needs tokens; without them nothing is opened."""
    ran = run_program("serve", "--db", as_url(database_url), "--grpc", f"0.0.0.0:{free_ports(1)[0]}")
    assert ran.exit_code == 2
    assert "callfare token create" in ran.err
    assert ran.err.count("\n") == 1


def test_serve_without_a_database_says_which_setting_is_missing() -> None:
    """`serve` brings no database of its own."""
    ran = run_program("serve")
    assert (ran.exit_code, ran.err.count("\n")) == (2, 1)
    assert "CALLFARE_DATABASE_URL" in ran.err


def test_unreachable_database_ends_serve_with_one_line() -> None:
    """A database that does not answer is one line and exit 1."""
    ran = run_program("serve", "--db", f"postgresql://me:geheim@127.0.0.1:{free_ports(1)[0]}/nowhere", *ANYWHERE)
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "cannot reach the database" in ran.err
    assert "geheim" not in ran.err


def test_schema_newer_than_the_program_ends_serve_with_one_line(empty_database_url: str) -> None:
    """A schema that a newer callfare made is not touched."""
    url = as_url(empty_database_url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create schema callfare; create table callfare.schema_migration"
            " (version integer primary key, name text, sha256 text, applied_at timestamptz default now());"
            " insert into callfare.schema_migration values (9999, 'from_the_future', 'x')"
        )
    ran = run_program("serve", "--db", url, *ANYWHERE)
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "upgrade callfare" in ran.err


def test_password_is_not_printed(filled: str) -> None:
    """The printed database URL hides the password."""
    from cost_exporter.cli.service_commands import without_password

    assert without_password("postgresql://me:geheim@db:5432/x?a=b") == "postgresql://me:***@db:5432/x?a=b"
    assert without_password(filled) == filled
