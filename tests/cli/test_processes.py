"""`callfare serve` in several processes, as a program: it starts, drains and dies as one."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from cost_exporter.cli.service_commands import usable_cpu_count
from cost_exporter.settings import Address
from tests.cli.running import ROOT, run_program, start_program
from tests.support.processes import command_line_of, has_ended
from tests.support.stored import as_url, filling, send
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ANYWHERE = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0")
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="counts CPUs as Linux does")


@contextmanager
def serving(url: str, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """Run `serve` in a process group of its own and lend it, once it listens, with its gRPC address."""
    command = ("serve", "--db", as_url(url), *ANYWHERE, *options)
    with (
        tempfile.TemporaryFile("w+") as errors,
        start_program(*command, errors=errors, **environment) as process,
    ):
        try:
            assert process.stdout is not None
            lines = dict(process.stdout.readline().split() for _ in range(4))
            yield process, Address.parse(lines["grpc"])
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE_SECONDS)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "cost_exporter.receive.workers.worker" in command_line_of(child)]


@pytest.mark.parametrize(
    ("options", "environment", "count"),
    [
        ((), {}, 0 if usable_cpu_count() == 1 else min(usable_cpu_count(), 2)),
        (("--processes", "1"), {"CALLFARE_PROCESSES": "2"}, 0),
        ((), {"CALLFARE_PROCESSES": "3"}, 3),
    ],
)
def test_serve_has_as_many_workers_as_asked_for(
    options: tuple[str, ...], environment: dict[str, str], count: int, database_url: str
) -> None:
    """By default one a CPU, at most two; the option wins over the environment; 1 is no other process."""
    with serving(database_url, *options, **environment) as (process, address):
        send(address, filling(time.time_ns()))
        assert len(workers_of(process)) == count
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("wrong", ["0", "65", "many"])
def test_a_wrong_number_is_one_line(wrong: str) -> None:
    """It names the setting."""
    ran = run_program("serve", "--db", "postgresql:///x", CALLFARE_PROCESSES=wrong)
    assert (ran.exit_code, ran.err.count("\n")) == (2, 1)
    assert "CALLFARE_PROCESSES" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_drains(number: signal.Signals, database_url: str) -> None:
    """Ctrl-C in a terminal and systemd signal every process: what is in flight is answered all the same."""
    with serving(database_url, "--processes", "2") as (process, address), ThreadPoolExecutor(1) as senders:
        workers = workers_of(process)
        with psycopg.connect(database_url) as connection:
            connection.execute("lock table callfare.record in share mode")
            sent = senders.submit(send, address, filling(time.time_ns()))
            wait_until("the request waits for the database", lambda: is_waiting(database_url))
            for each in [*workers, process]:
                each.send_signal(number)
            wait_until("it listens no more", lambda: not accepts(address))
        sent.result(timeout=PATIENCE_SECONDS)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert all(has_ended(worker.pid) for worker in workers)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (3,)


def is_waiting(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("select from pg_stat_activity where wait_event_type = 'Lock' limit 1").fetchone()
        return row is not None


def accepts(address: Address) -> bool:
    import socket

    try:
        socket.create_connection((address.host, address.port), timeout=PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True


def test_a_killed_service_leaves_no_worker(database_url: str) -> None:
    """SIGKILL of the service: its workers notice, commit what they have and end; the sender comes again."""
    with serving(database_url, "--processes", "2") as (process, address), ThreadPoolExecutor(1) as senders:
        workers = workers_of(process)
        request = filling(time.time_ns())
        with psycopg.connect(database_url) as connection:
            connection.execute("lock table callfare.record in share mode")
            sent = senders.submit(send, address, request)
            wait_until("the request waits for the database", lambda: is_waiting(database_url))
            process.kill()
            assert sent.exception(timeout=PATIENCE_SECONDS) is not None
        wait_until("no worker is left", lambda: all(has_ended(worker.pid) for worker in workers))
    with serving(database_url, "--processes", "1") as (process, address):
        send(address, request)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (3,)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_metrics_count_what_workers_did(database_url: str) -> None:
    """The web address of the one service counts the spans and commits of all its processes."""
    import urllib.request

    from tests.support.stored import running_service

    with running_service(as_url(database_url), processes=2) as addresses:
        send(addresses["grpc"], filling(time.time_ns()))
        with urllib.request.urlopen(f"http://{addresses['web']}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    assert 'callfare_spans_total{result="received"} 5.0' in lines
    assert 'callfare_spans_total{result="dead_letter"} 1.0' in lines
    assert "callfare_commit_seconds_count 1.0" in lines


def test_the_setting_is_documented() -> None:
    """`--help` and the list of variables name it."""
    assert "--processes" in run_program("serve", "--help").out
    assert "`CALLFARE_PROCESSES`" in (Path(ROOT) / "docs" / "how-to" / "environment.md").read_text()
