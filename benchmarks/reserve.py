"""What a budget adds to a call: a reservation at the service, and a decision by a lease.

    python benchmarks/reserve.py

Starts an embedded PostgreSQL with its safety on and `callfare serve` with one process, and sets a thousand budgets,
four over each tenant. Reservations arrive in an open loop, 200 a second over eight connections: each is timed from the
moment at which it was due, so one that waits for the one before counts as slow. Decisions by a lease are timed one by
one in this process. Printed are p50 and p99, and the CPU of each side, which says more than the clock on a machine
that does other work. Goals: reserve p99 at most 5 ms, lease p50 at most 20 us.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from budgets import TENANTS, Service, cpu_seconds, set_budgets

from callfare.budget import channel
from callfare.budget.shared import SharedBudgets
from cost_exporter.store.database.embedded import EmbeddedPostgres

RATE = 200
SECONDS = 20
CONNECTIONS = 8
CALLS = 20_000
HEADERS = {"content-type": "application/json"}


def reserve(address: str, number: int, began: float, waits_ms: list[float]) -> None:
    """Make every eighth reservation of the loop, when it is due."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    for turn in range(number, RATE * SECONDS, CONNECTIONS):
        due = began + turn / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        body = {"tenant": f"tenant-{turn % TENANTS}", "estimate_usd": "0.0001", "provider": "openai", "model": "m"}
        connection.request("POST", "/v1/budgets/reserve", json.dumps(body), HEADERS)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status  # noqa: PLR2004 - HTTP's
        waits_ms.append((time.perf_counter() - due) * 1000)


def measure_reserving(service: Service, postmaster: int) -> None:
    """Print what reservations take."""
    address = service.addresses["web"].removeprefix("http://").rstrip("/")
    waits_ms: list[float] = []
    before = cpu_seconds(service.process.pid), cpu_seconds(postmaster), time.process_time()
    began = time.perf_counter() + 0.5
    threads = [
        threading.Thread(target=reserve, args=(address, number, began, waits_ms)) for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = cpu_seconds(service.process.pid), cpu_seconds(postmaster), time.process_time()
    service_us, database_us, client_us = (
        (after - start) * 1e6 / len(waits_ms) for after, start in zip(used, before, strict=True)
    )
    hundredths_ms = statistics.quantiles(waits_ms, n=100)
    print(
        f"reserve: {len(waits_ms)} at {RATE}/s, p50 {hundredths_ms[49]:.1f} ms,"
        f" p99 {hundredths_ms[98]:.1f} ms (at most 5); CPU a reservation {service_us:.0f} us service,"
        f" {database_us:.0f} us PostgreSQL, {client_us:.0f} us client",
        flush=True,
    )


def measure_leases(service: Service) -> None:
    """Print what a decision by a lease takes."""
    channel.WAIT_SECONDS_MAX = 30.0
    budgets = SharedBudgets(service.addresses["web"])
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
            measure_reserving(service, postmaster)
            measure_leases(service)
        finally:
            service.stop()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
