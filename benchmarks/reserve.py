"""What a budget adds to a call: a reservation at the service, and a decision by a lease.

    python benchmarks/reserve.py

Starts an embedded PostgreSQL with its safety on and `callfare serve` with one process, and sets a thousand budgets,
four over each tenant. Reservations arrive in an open loop, 200 a second over eight connections, with a token: each is
timed from the moment at which it was due, so one that waits for the one before counts as slow. Before, rows of one
number are inserted and committed in such a loop: less than that no reservation takes that outlives a crash. Decisions
by a lease are timed one by one in this process. Printed are p50 and p99, and the CPU of each side, which says more
than the clock on a machine that does other work. Goals: reserve p99 at most 5 ms, lease p50 at most 20 us.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from budgets import TENANTS, Service, cpu_seconds, set_budgets

from callfare.budget import channel
from callfare.budget.shared import SharedBudgets
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.tokens import TokenScope, create

RATE = 200
SECONDS = 20
CONNECTIONS = 8
CALLS = 20_000


def open_loop(connect: Callable[[], Callable[[int], None]]) -> list[float]:
    """Return how long after it was due each turn of the loop ended, in ms; `connect` returns what a turn does."""
    waits_ms: list[float] = []
    began = time.perf_counter() + 0.5

    def every_eighth(number: int) -> None:
        act = connect()
        for turn in range(number, RATE * SECONDS, CONNECTIONS):
            due = began + turn / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            act(turn)
            waits_ms.append((time.perf_counter() - due) * 1000)

    threads = [threading.Thread(target=every_eighth, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits_ms


def measure_commits(url: str) -> None:
    """Print what the least transaction takes that survives a crash."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table least (number bigint)")

    def connect() -> Callable[[int], None]:
        connection = psycopg.connect(url, autocommit=True)

        def insert(turn: int) -> None:
            connection.execute("insert into least values (%s)", [turn])

        return insert

    print(f"insert of a number: {quantiles(open_loop(connect))}", flush=True)


def measure_reserving(service: Service, postmaster: int, token: str) -> None:
    """Print what reservations take."""
    host, port = service.addresses["web"].removeprefix("http://").rstrip("/").split(":")
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}

    def connect() -> Callable[[int], None]:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)

        def reserve(turn: int) -> None:
            body = {"tenant": f"tenant-{turn % TENANTS}", "estimate_usd": "0.0001", "provider": "openai", "model": "m"}
            connection.request("POST", "/v1/budgets/reserve", json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status  # noqa: PLR2004 - HTTP's

        return reserve

    before = cpu_seconds(service.process.pid), cpu_seconds(postmaster), time.process_time()
    waits_ms = open_loop(connect)
    used = cpu_seconds(service.process.pid), cpu_seconds(postmaster), time.process_time()
    service_us, database_us, client_us = (
        (after - start) * 1e6 / len(waits_ms) for after, start in zip(used, before, strict=True)
    )
    print(
        f"reserve: {quantiles(waits_ms)} (p99 at most 5); CPU a reservation {service_us:.0f} us service,"
        f" {database_us:.0f} us PostgreSQL, {client_us:.0f} us client",
        flush=True,
    )


def quantiles(waits_ms: list[float]) -> str:
    """Return the median and the 99th hundredth in words."""
    hundredths_ms = statistics.quantiles(waits_ms, n=100)
    return f"{len(waits_ms)} at {RATE}/s, p50 {hundredths_ms[49]:.1f} ms, p99 {hundredths_ms[98]:.1f} ms"


def measure_leases(service: Service, token: str) -> None:
    """Print what a decision by a lease takes."""
    channel.WAIT_SECONDS_MAX = 30.0
    budgets = SharedBudgets(service.addresses["web"], token)
    words = ("tenant-249", "", "", "", "openai", "m")
    estimate_usd = Decimal("0.0001")
    took_us: list[float] = []
    before = time.process_time()
    for _ in range(CALLS):
        start_ns = time.perf_counter_ns()
        hold = budgets.admit(words, estimate_usd)
        took_us.append((time.perf_counter_ns() - start_ns) / 1000)
        if hold is not None:
            hold.settle(estimate_usd)
    cpu_us = (time.process_time() - before) * 1e6 / CALLS
    print(
        f"lease: p50 {statistics.median(took_us):.1f} us (at most 20),"
        f" p99 {statistics.quantiles(took_us, n=100)[98]:.1f} us;"
        f" CPU {cpu_us:.1f} us a call, settling included"
    )


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = Path(tempfile.mkdtemp(prefix="callfare-bench-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "postgres")
    try:
        url = server.start()
        postmaster = int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])
        service = Service(url, "reserving", None)
        set_budgets(service.url)
        try:
            measure_commits(service.url)
            with psycopg.connect(service.url, autocommit=True) as connection:
                token = create(connection, ["fleet"], [TokenScope.RELAY])
            measure_reserving(service, postmaster, token)
            measure_leases(service, token)
        finally:
            service.stop()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
