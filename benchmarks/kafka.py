"""What a span costs in CPU through Kafka, beside the same span straight over gRPC.

    python benchmarks/kafka.py

Slices of the same load go in turn to `callfare serve`, in requests of 480 spans, four in flight, with ingest in its own
process; and in messages of 40 spans through a real broker to `callfare consume`. Counted is the CPU of these two
processes, PostgreSQL's and Kafka's aside. The limit is 1.25.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "instrumentation")]

from cost_exporter.store.database.embedded import EmbeddedPostgres  # noqa: E402
from tests.cli.running import start_program  # noqa: E402
from tests.crash.traffic import SPANS_PER_BATCH, batches  # noqa: E402
from tests.kafka.running import Consumer, wait_for_records  # noqa: E402
from tests.support.kafka import Broker  # noqa: E402
from tests.support.ports import free_ports  # noqa: E402
from tests.support.stored import Address, open_folder  # noqa: E402

SLICES = 5
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MESSAGES_A_SLICE = 240
JOINED = 12
IN_FLIGHT = 4
RATIO_MAX = 1.25


def cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


def send_all(address: Address, messages: list[bytes]) -> None:
    """Send over one channel: messages laid end to end are one request."""
    joined = [b"".join(messages[start : start + JOINED]) for start in range(0, len(messages), JOINED)]
    with grpc.insecure_channel(str(address)) as channel, ThreadPoolExecutor(IN_FLIGHT) as threads:
        export = channel.unary_unary(METHOD)
        list(threads.map(lambda request: export(request, timeout=60), joined))


def main() -> int:
    """Measure, print, and return 1 where the limit is passed."""
    with open_folder() as folder, tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedPostgres(folder / "postgres")
        url = server.start()
        broker = Broker(Path(scratch) / "kafka")
        broker.start()
        broker.make_topic("bench", partitions=2)
        consumer = Consumer(
            Path(scratch) / "consumer", url, CALLFARE_KAFKA_BROKER=broker.address, CALLFARE_KAFKA_TOPIC="bench"
        )
        consumer.start()
        (port,) = free_ports(1)
        address = Address(host="127.0.0.1", port=port)
        listen = ["--grpc", str(address), "--http", "127.0.0.1:0", "--web", "127.0.0.1:0", "--processes", "1"]
        service = start_program("serve", "--db", url, *listen)
        try:
            assert service.stdout is not None
            while not service.stdout.readline().startswith("database"):
                pass
            return compare(broker, consumer, service.pid, address, url)
        finally:
            service.terminate()
            service.wait()
            consumer.kill()
            broker.kill()
            server.stop()


def compare(broker: Broker, consumer: Consumer, service_pid: int, address: Address, url: str) -> int:
    assert consumer.process is not None
    consumer_pid = consumer.process.pid
    made, producer = batches(51, time.time_ns()), broker.producer()
    sent, ratios = 0, []
    for number in range(SLICES + 1):
        before = cpu_seconds(service_pid)
        send_all(address, [next(made).payload for _ in range(MESSAGES_A_SLICE)])
        sent += MESSAGES_A_SLICE * SPANS_PER_BATCH
        direct = cpu_seconds(service_pid) - before
        before = cpu_seconds(consumer_pid)
        for _ in range(MESSAGES_A_SLICE):
            producer.produce("bench", next(made).payload)
        producer.flush()
        sent += MESSAGES_A_SLICE * SPANS_PER_BATCH
        wait_for_records(url, sent)
        through = cpu_seconds(consumer_pid) - before
        spans = MESSAGES_A_SLICE * SPANS_PER_BATCH
        if number:  # the first warms up
            ratios.append(through / direct)
            print(f"gRPC {direct / spans * 1e6:.0f} µs, Kafka {through / spans * 1e6:.0f} µs a span")
    ratio = statistics.median(ratios)
    print(f"median of {SLICES}: {ratio:.2f}, at most {RATIO_MAX}")
    return int(ratio > RATIO_MAX)


if __name__ == "__main__":
    sys.exit(main())
