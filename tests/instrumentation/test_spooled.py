"""With CALLFARE_SPOOL_DIR nothing is lost in an outage: it arrives later, or in the next run, and once."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callfare.export.otlp import CostOtlpExporter
from callfare.export.otlp_spans import spans_of
from callfare.export.spool import Parcel, Spool
from callfare.export.spooled import SpooledExporter, spooled
from callfare.provider import hook
from tests.end_to_end.otlp_sink import OtlpSink
from tests.instrumentation.instrumented_app import run, started
from tests.support.recording import until
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as receiver:
        yield receiver


@pytest.fixture
def exporter(sink, tmp_path, monkeypatch) -> Iterator[CostOtlpExporter]:
    """As `OTEL_TRACES_EXPORTER=callfare_otlp` makes it, with a spool and a receiver that fails at once."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{sink.port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("CALLFARE_SPOOL_DIR", str(tmp_path / "spool"))
    made = CostOtlpExporter()
    yield made
    made.shutdown()


def make_spans(exporter: SpanExporter, count: int, label: str = "work") -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop", "1.2")
    for _ in range(count):
        with tracer.start_as_current_span(label, attributes={"label": label}):
            pass


def span_of(label: str) -> ReadableSpan:
    received = InMemorySpanExporter()
    make_spans(received, 1, label)
    (span,) = received.get_finished_spans()
    return span


def waiting(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.otlp"))


def test_a_batch_that_is_taken_leaves_the_disk(exporter, sink, tmp_path) -> None:
    """While all is well a span is delivered when `export` returns, and nothing waits."""
    make_spans(exporter, 3)
    assert (sum(sink.arrived.values()), waiting(tmp_path / "spool")) == (3, [])


def test_what_an_outage_keeps_back_arrives_after_it(exporter, sink, tmp_path, caplog) -> None:
    """Nothing is lost or doubled, the program is not held up, and one line says where the spans are."""
    sink.refuse(grpc.StatusCode.UNAVAILABLE)
    make_spans(exporter, 20)
    assert len(waiting(tmp_path / "spool")) == 20
    sink.accept()
    until(lambda: len(sink.arrived) == 20)
    until(lambda: not waiting(tmp_path / "spool"))
    assert set(sink.arrived.values()) == {1}
    logged = [record.message for record in caplog.records if record.name == "callfare"]
    assert logged == [f"the receiver takes no spans; they wait in {tmp_path / 'spool'}"]


def test_a_batch_that_is_refused_for_itself_holds_up_no_other(sink, tmp_path, caplog) -> None:
    """Others go on; after five more chances it is set aside, where a person finds it."""
    spool = Spool(tmp_path, bytes_max=1 << 20)
    delegate = Choosy("bad")
    exporter = SpooledExporter(delegate, spool, retry_seconds_min=0.001)
    make_spans(exporter, 1, "bad")
    for number in range(8):
        make_spans(exporter, 1, f"good {number}")
        until(lambda number=number: f"good {number}" in delegate.taken)
    until(lambda: not waiting(tmp_path))
    exporter.shutdown()
    assert sorted(delegate.taken) == [f"good {number}" for number in range(8)]
    (refused,) = tmp_path.glob("*.refused")
    assert [span.name for span in spans_of(refused.read_bytes())] == ["bad"]
    assert "1 span(s) set aside" in caplog.text


class Choosy(SpanExporter):
    """A receiver that never takes spans of one name."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.taken: list[str] = []

    def export(self, spans) -> SpanExportResult:
        if any(span.name == self.refused for span in spans):
            return SpanExportResult.FAILURE
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def test_a_receiver_that_hangs_holds_up_nobody(tmp_path) -> None:
    """Whoever exports goes on after a moment; spans that come meanwhile wait on disk and go out afterwards."""
    delegate = Hanging()
    exporter = SpooledExporter(delegate, Spool(tmp_path, bytes_max=1 << 20), wait_seconds=0.01)
    make_spans(exporter, 5)
    assert len(waiting(tmp_path)) == 5
    delegate.goes_on.set()
    until(lambda: delegate.count == 5)
    exporter.shutdown()
    assert waiting(tmp_path) == []


class Hanging(SpanExporter):
    """A receiver that answers when it is told to."""

    def __init__(self) -> None:
        self.goes_on = Event()
        self.count = 0

    def export(self, spans) -> SpanExportResult:
        assert self.goes_on.wait(PATIENCE_SECONDS)
        self.count += len(spans)
        return SpanExportResult.SUCCESS


@pytest.mark.expects_internal_errors
def test_a_file_that_somebody_broke_is_set_aside(tmp_path) -> None:
    """What cannot be read holds up nothing."""
    spool = Spool(tmp_path, bytes_max=1 << 20)
    received = InMemorySpanExporter()
    spool.add(b"\xff\xff", span_count=1)
    exporter = SpooledExporter(received, spool)
    make_spans(exporter, 1)
    until(lambda: list(tmp_path.glob("*.refused")))
    exporter.shutdown()
    assert len(received.get_finished_spans()) == 1


def test_one_process_at_a_time_sends_what_others_left(tmp_path) -> None:
    """Who does not hold the folder's lock leaves the backlog alone; its own fresh spans go out all the same."""
    fcntl = pytest.importorskip("fcntl")
    spool = Spool(tmp_path, bytes_max=1 << 20)
    left = spool.add(encode_spans([span_of("left")]).SerializeToString(), span_count=1)
    received = InMemorySpanExporter()
    exporter = SpooledExporter(received, spool, retry_seconds_min=0.001)
    with (tmp_path / ".lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        make_spans(exporter, 2, "fresh")
        assert [span.name for span in received.get_finished_spans()] == ["fresh", "fresh"]
        assert left.path.exists()
    until(lambda: not left.path.exists())
    exporter.shutdown()
    assert [span.name for span in received.get_finished_spans()] == ["fresh", "fresh", "left"]


ENDS = {
    "return": ("calls()", 0),
    "exception": ("calls(); raise RuntimeError('on purpose')", 1),
    "SIGTERM": ("calls(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)", -signal.SIGTERM),
    "SIGKILL": ("calls(); provider.force_flush(); os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "fork": ("child = os.fork(); calls()\nif child: os.waitpid(child, 0)", 0),
}  # fmt: skip
SCRIPT = """
import os, signal, time, callfare
from opentelemetry import trace
provider = trace.get_tracer_provider()
def calls():
    for number in range(1500):
        callfare.record_usage("retrieval", "pinecone", "serverless", read_units=1)
"""


def test_what_a_living_process_is_sending_is_left_to_it(tmp_path) -> None:
    """A young batch of another process waits; an old one, or a dead process's, goes out at once."""
    spool = Spool(tmp_path, bytes_max=1 << 20)
    body = encode_spans([span_of("theirs")]).SerializeToString()
    now, living, dead = time.time_ns(), os.getppid(), 2**22 + 1  # beyond what a system gives
    young, old, orphan = (
        spool.add(body, span_count=1).path.rename(tmp_path / f"{created_at:020d}-{process}-1-1.otlp")
        for created_at, process in ((now, living), (now - 60 * 10**9, living), (now, dead))
    )
    received = InMemorySpanExporter()
    exporter = SpooledExporter(received, spool)
    make_spans(exporter, 1)
    until(lambda: not old.exists() and not orphan.exists())
    exporter.shutdown()
    assert young.exists()
    assert sorted(span.name for span in received.get_finished_spans()) == ["theirs", "theirs", "work"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.full] if way == "exception" else []) for way in ENDS]
)
def test_a_program_that_ends_in_an_outage_loses_nothing(sink, tmp_path, way) -> None:
    """However it ends, the next run delivers what it had finished: several batches, with their cost on them."""
    script, exit_code = ENDS[way]
    variables = {
        "OTEL_TRACES_EXPORTER": "callfare_otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "CALLFARE_SPOOL_DIR": str(tmp_path / "spool"),
    }
    url = f"http://127.0.0.1:{sink.port}"
    sink.refuse(grpc.StatusCode.UNAVAILABLE)
    finished = run(SCRIPT + script, tmp_path, url, **variables)
    assert finished.returncode == exit_code, finished.stderr
    assert not sink.arrived
    made = sum(Parcel.at(path).span_count for path in waiting(tmp_path / "spool"))
    assert made == 1500 * (2 if way == "fork" else 1)
    sink.accept()
    (tmp_path / "next").mkdir()
    with started(SCRIPT + "calls(); time.sleep(600)", tmp_path / "next", url, **variables) as process:
        until(lambda: len(sink.arrived) >= made + 1024)  # of its own the next run keeps the last batch until it ends
        until(lambda: not waiting(tmp_path / "spool"))
        process.kill()
    assert all(any(each.key == "callfare.cost.amount" for each in span.attributes) for span in sink.spans)


def test_without_the_variable_there_is_no_spool(monkeypatch) -> None:
    """Opt-in: the ordinary exporter as it is."""
    monkeypatch.delenv("CALLFARE_SPOOL_DIR", raising=False)
    ordinary = InMemorySpanExporter()
    assert spooled(ordinary) is ordinary


def test_a_folder_that_cannot_be_made_costs_the_spool_alone(tmp_path, monkeypatch, caplog) -> None:
    """One line says so; spans go out as without it."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CALLFARE_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    ordinary = InMemorySpanExporter()
    assert spooled(ordinary) is ordinary
    assert "no spool in" in caplog.text


@pytest.mark.expects_internal_errors
def test_a_full_disk_costs_nothing_while_the_receiver_is_there(tmp_path, monkeypatch) -> None:
    """What cannot be kept is sent at once."""
    received = InMemorySpanExporter()
    spool = Spool(tmp_path, bytes_max=1 << 20)
    exporter = SpooledExporter(received, spool)
    monkeypatch.setattr("callfare.export.spool.os.fsync", no_space)
    make_spans(exporter, 2)
    assert len(received.get_finished_spans()) == 2
    assert list(tmp_path.iterdir()) == []


def no_space(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_spool_that_no_exporter_uses_is_named(tmp_path, monkeypatch, caplog) -> None:
    """The ordinary exporter has none: one line says which one does."""
    monkeypatch.setenv("CALLFARE_SPOOL_DIR", str(tmp_path))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    hook.warn_of_unused_spool(provider)
    assert "OTEL_TRACES_EXPORTER=callfare_otlp" in caplog.text
    caplog.clear()
    provider.add_span_processor(BatchSpanProcessor(CostOtlpExporter(InMemorySpanExporter())))
    hook.warn_of_unused_spool(provider)
    assert caplog.text == ""
    provider.shutdown()


class Counted(Spool):
    """A spool that counts how often its folder is looked through."""

    looks = 0

    def _parcels(self) -> Iterator[Parcel]:
        self.looks += 1
        return super()._parcels()


def left_by_a_run_before(folder: Path, count: int) -> None:
    spool = Spool(folder, bytes_max=1 << 30)
    body = encode_spans([span_of("before")]).SerializeToString()
    for _ in range(count):
        spool.add(body, 1)


def test_what_a_run_before_left_goes_out_when_the_program_starts(tmp_path) -> None:
    """A program that makes no spans of its own delivers them as well."""
    left_by_a_run_before(tmp_path, 3)
    delegate = Choosy("")
    exporter = SpooledExporter(delegate, Spool(tmp_path, bytes_max=1 << 20))
    until(lambda: not waiting(tmp_path))
    exporter.shutdown()
    assert delegate.taken == ["before"] * 3


def test_a_program_without_a_backlog_starts_no_thread(tmp_path) -> None:
    """Only what waits is a reason to."""
    exporter = SpooledExporter(Choosy(""), Spool(tmp_path, bytes_max=1 << 20))
    assert not exporter._is_sending
    exporter.shutdown()


def test_a_backlog_is_not_looked_through_for_each_of_its_batches(tmp_path) -> None:
    """A day without a receiver leaves 16,000: looking through all of them for each took half an hour of CPU."""
    left_by_a_run_before(tmp_path, 400)
    spool = Counted(tmp_path, bytes_max=1 << 30)
    delegate = Choosy("")
    exporter = SpooledExporter(delegate, spool)
    until(lambda: not waiting(tmp_path))
    exporter.shutdown()
    assert len(delegate.taken) == 400
    assert spool.looks <= 5


def test_a_full_folder_is_not_looked_through_for_each_batch(tmp_path) -> None:
    """Each new one makes an old one go; which is known from the last look."""
    spool = Counted(tmp_path, bytes_max=64 * 4_096)
    for _ in range(64):
        spool.add(b"x", 1)
    before = spool.looks
    for _ in range(60):
        spool.add(b"x", 1)
    assert spool.looks - before <= 20
    assert len(waiting(tmp_path)) == 64
