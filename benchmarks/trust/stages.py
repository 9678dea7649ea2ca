"""The stages of the trial. Each runs for about so many seconds, compares every digit, and returns its figures.

problems   what was lost, doubled or wrong: 0, or the trial has found a fault
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.trust.budget_windows import BudgetWindows
from benchmarks.trust.clock import Clock
from benchmarks.trust.service import serving
from cost_exporter.errors import ReceiveError
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.store.database.session import connect
from cost_exporter.store.tokens import TokenScope, create
from tests.crash.clients import METHOD, Clients
from tests.crash.services import CallfareUp, wait_for_database
from tests.crash.test_crash import kill_and_restart, kill_in_turn
from tests.crash.traffic import SPANS_PER_BATCH, batches
from tests.crash.verdict import problems
from tests.receive.test_fuzz import javascript, protobuf
from tests.support.waiting import wait_until

Figures = dict[str, int]
CLIENTS = 4
OVERLOAD_SENDERS = 4
"""Of each of three tenants; each sends batches of 400 spans as fast as it is let."""
OVERLOAD_SPANS = 400
OVERLOAD_BATCHES = OVERLOAD_SPANS // SPANS_PER_BATCH
STEPS_SECONDS = (3_600, 0, -3_600, 0)
"""What the clock shows beside the time of day, in turn: forth by an hour and back, and the other way round."""
DISK_MIB = 700


def kills(folder: Path, seconds: float, seed: int) -> Figures:
    """Kill service, worker and database in turn while clients send."""
    service = CallfareUp(folder / "data", processes=2)
    service.start()
    clients = Clients(service.grpc_address, count=CLIENTS, seed=seed)
    clients.start()
    try:
        in_turn = [service.kill_a_worker, kill_and_restart(service), service.kill_database]
        killed = kill_in_turn(in_turn, clients, (0.5, 2.0), seconds=seconds)
    finally:
        all_acknowledged = clients.stop()
    wait_for_database(service.database_url)
    found = _problems(clients, service.database_url, all_acknowledged=all_acknowledged)
    return {"kills": killed, "spans": _spans(clients), "problems": found + (service.stop() != 0)}


def fuzz(_folder: Path, seconds: float, seed: int) -> Figures:
    """Decode mutated requests: each ends in a request or in a refusal."""
    rng, end, messages, wrong = random.Random(seed), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        for make, encoding in ((protobuf, Encoding.PROTOBUF), (javascript, Encoding.JSON)):
            content = make(rng)
            messages += 1
            try:
                decode(content, encoding, SenderIdentity(), received_at_unix_ns=1)
            except ReceiveError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                wrong += 1
                kept = _kept(f"fuzz-{seed}-{messages}.bin", content)
                print(f"decoding raised {error!r}; the message is {kept}", file=sys.stderr)
    return {"messages": messages, "problems": wrong}


def overload(folder: Path, seconds: float, seed: int) -> Figures:
    """Let three tenants send without a pause: none gets nothing, and nothing that was acknowledged is lost."""
    with serving(folder) as (service, server):
        with connect(server.url, autocommit=True) as connection:
            tokens = {name: create(connection, [name], [TokenScope.INGEST]) for name in ("one", "two", "three")}
        end = time.monotonic() + seconds
        sent = {name: [0, 0] for name in tokens}
        lock = threading.Lock()

        def send(name: str, number: int) -> None:
            made = batches(seed + number, time.time_ns())
            with grpc.insecure_channel(service.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                call = channel.unary_unary(METHOD)
                while time.monotonic() < end:
                    # Requests one after the other are a request with the spans of all.
                    body, is_taken = b"".join(next(made).payload for _ in range(OVERLOAD_BATCHES)), True
                    try:
                        call(body, timeout=30, metadata=[("authorization", f"Bearer {tokens[name]}")])
                    except grpc.RpcError:
                        is_taken = False
                    with lock:
                        sent[name][0] += is_taken
                        sent[name][1] += not is_taken

        names = [name for name in tokens for _ in range(OVERLOAD_SENDERS)]
        senders = [threading.Thread(target=send, args=(name, number)) for number, name in enumerate(names)]
        _run(senders)
        with connect(server.url) as connection:
            stored = dict(
                connection.execute("select tenant_id, count(*) from callfare.record group by tenant_id").fetchall()
            )
            unsound = connection.execute("select count(*) from callfare.integrity_check").fetchone()
    # One that timed out may have been stored all the same: its sender was not told.
    lost = sum(stored.get(name, 0) < taken * OVERLOAD_SPANS for name, (taken, _) in sent.items())
    starved = sum(taken == 0 for taken, _ in sent.values())
    assert unsound is not None
    return {
        "seconds": round(seconds),
        "spans": sum(taken for taken, _ in sent.values()) * OVERLOAD_SPANS,
        "refused_batches": sum(refused for _, refused in sent.values()),
        "problems": lost + starved + unsound[0],
    }


def database_away(folder: Path, seconds: float, seed: int) -> Figures:
    """Stop the database for so long while clients go on: what was acknowledged is there, the rest comes afterwards."""
    with serving(folder) as (service, server), _sending(service.address, seed) as clients:
        clients.await_progress()
        server.stop()
        time.sleep(seconds)
        server.start()
        clients.await_progress()
        return {"seconds": round(seconds), **_rest(clients, server.url)}


def full_disk(folder: Path, seconds: float, seed: int) -> Figures:
    """Fill the disk under the database again and again: refused, nothing lost, and it goes on by itself."""
    fillings = 0
    disk = folder / "disk"
    with _small_disk(disk), serving(disk) as (service, server), _sending(service.address, seed) as clients:
        end = time.monotonic() + seconds
        while not fillings or time.monotonic() < end:
            clients.await_progress()
            failed = _failures(clients)
            _fill(disk / "filling")
            wait_until("a refusal on the full disk", lambda before=failed: _failures(clients) > before)
            (disk / "filling").unlink()
            server.ensure_running()
            fillings += 1
        clients.await_progress()
        return {"fillings": fillings, **_rest(clients, server.url)}


def clock_steps(folder: Path, seconds: float, seed: int) -> Figures:
    """Set the clock of service and database back and forth while clients send and reserve."""
    clock, steps = Clock(folder), 0
    with (
        clock.for_children(),
        serving(folder, **clock.variables) as (service, server),
        _sending(service.address, seed) as clients,
        BudgetWindows(service.web_address, server.url) as windows,
    ):
        end = time.monotonic() + seconds
        while steps < len(STEPS_SECONDS) or time.monotonic() < end:
            offset_seconds = STEPS_SECONDS[steps % len(STEPS_SECONDS)]
            clock.set(offset_seconds)
            windows.reserve(offset_seconds)
            for _ in range(CLIENTS + 1):  # more than are under way: one at least is received at the new time
                clients.await_progress()
            steps += 1
        clock.set(0)
        figures = _rest(clients, server.url)
        found = windows.problems()
        for each in found:
            print(each, file=sys.stderr)
        return {"steps": steps, **figures, "problems": figures["problems"] + len(found)}


STAGES: dict[str, Callable[[Path, float, int], Figures]] = {
    "kills": kills,
    "fuzz": fuzz,
    "overload": overload,
    "database_away": database_away,
    "full_disk": full_disk,
    "clock_steps": clock_steps,
}


# ----------------------------------------------------------------------------------------------------- small ones


@contextmanager
def _sending(address: str, seed: int) -> Iterator[Clients]:
    clients = Clients(address, count=CLIENTS, seed=seed)
    clients.start()
    try:
        yield clients
    finally:
        clients.stop()


def _rest(clients: Clients, database_url: str) -> Figures:
    """Let the clients finish and compare."""
    all_acknowledged = clients.stop()
    found = _problems(clients, database_url, all_acknowledged=all_acknowledged)
    return {"spans": _spans(clients), "problems": found}


def _problems(clients: Clients, database_url: str, *, all_acknowledged: bool) -> int:
    found = problems(clients.ledgers, database_url)
    found += [each for ledger in clients.ledgers for each in ledger.refusals]
    found += [] if all_acknowledged else ["a client still waits for its acknowledgement"]
    for each in found[:20]:
        print(each, file=sys.stderr)
    return len(found)


def _spans(clients: Clients) -> int:
    return sum(len(ledger.acknowledged) for ledger in clients.ledgers)


def _failures(clients: Clients) -> int:
    return sum(ledger.failure_count for ledger in clients.ledgers)


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _kept(name: str, content: bytes) -> Path:
    """Keep a message outside of the stage's folder, which is removed."""
    path = Path(tempfile.gettempdir()) / f"callfare-trust-{name}"
    path.write_bytes(content)
    return path


@contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    """A file system of its own in memory; only root may make one."""
    if os.geteuid() != 0:
        raise PermissionError("only root can make a small disk: run as root, or leave out the stage full_disk")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "callfare-trust", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            return
