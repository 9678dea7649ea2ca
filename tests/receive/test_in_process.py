import logging
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from callfare.export.in_process import InProcessExporter, StoringExporter
from callfare.export.spooled import spooled
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import MissingExtra, StoreUnavailable
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.in_process import DirectIntake, open_intake
from cost_exporter.settings import Settings
from cost_exporter.store.database.embedded import EmbeddedPostgres
from tests.receive.conftest import FakeStore
from tests.support.attribute_values import plain
from tests.support.stored import open_folder
from tests.support.waiting import RUN_SECONDS_MAX, wait_until


class Opened:
    """A way to a fake pipeline that records how it was used."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.opened = self.closed = 0

    def __call__(self) -> DirectIntake:
        self.opened += 1
        return DirectIntake(Gate(self.store), self._close)

    def _close(self) -> None:
        self.closed += 1


def record_call(exporter: StoringExporter, attributes: dict[str, str] | None = None) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("chat gpt-4o") as span:
        span.set_attributes({**(attributes or {}), "gen_ai.usage.input_tokens": 12})


def test_spans_of_the_application_reach_the_pipeline() -> None:
    """An ended span is encoded, decoded and ingested like one that came over the wire."""
    opened = Opened()
    exporter = StoringExporter(opened)
    record_call(exporter)
    record_call(exporter)
    first, second = opened.store.spans
    assert (first.name, plain(first.attributes["gen_ai.usage.input_tokens"])) == ("chat gpt-4o", 12)
    assert first.trace_id != second.trace_id
    assert opened.opened == 1
    assert exporter.force_flush()


def test_shutdown_closes_once_and_what_comes_later_is_not_stored() -> None:
    """After shutdown the database is let go of, and an export fails instead of opening it again."""
    opened = Opened()
    exporter = StoringExporter(opened)
    record_call(exporter)
    exporter.shutdown()
    exporter.shutdown()
    record_call(exporter)
    assert (opened.opened, opened.closed, len(opened.store.spans)) == (1, 1, 1)
    assert exporter.export([]) is SpanExportResult.FAILURE


def test_what_passes_is_tried_again() -> None:
    """A database that is away for a moment costs no span."""
    opened = Opened()
    failures = [StoreUnavailable("away"), StoreUnavailable("away")]

    def fail_twice(request: object) -> None:
        if failures:
            raise failures.pop()

    opened.store.before = fail_twice
    record_call(StoringExporter(opened))
    assert len(opened.store.spans) == 1


def test_trying_again_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A database that stays away is given up after a bounded time, with one line in the log however often."""
    opened = Opened()

    def away(request: object) -> None:
        raise StoreUnavailable("the database is away; try again")

    opened.store.before = away
    exporter = StoringExporter(opened, retry_seconds_max=0)
    assert [exporter.export([]) for _ in range(3)] == [SpanExportResult.FAILURE] * 3
    assert [record.message for record in caplog.records] == [
        "callfare could not store spans: StoreUnavailable: the database is away; try again"
    ]


@pytest.mark.parametrize("error", [MissingExtra("x", "exporter"), RuntimeError("canary"), OSError("canary")])
def test_no_error_reaches_the_application(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails, the application goes on; the log names it once and quotes nothing of others."""

    def cannot_open() -> DirectIntake:
        raise error

    exporter = StoringExporter(cannot_open)
    record_call(exporter)
    record_call(exporter)
    exporter.shutdown()
    messages = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(messages) == 1
    assert "canary" not in messages[0]
    assert ("pip install 'callfare[exporter]'" in messages[0]) is isinstance(error, MissingExtra)


def test_an_error_while_closing_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline that cannot be closed does not break the application's end."""

    class Unclosable:
        def __call__(self, body: bytes) -> Receipt:
            return Receipt()

        def close(self) -> None:
            raise RuntimeError("canary")

    exporter = StoringExporter(Unclosable)
    record_call(exporter)
    exporter.shutdown()
    assert [record.message for record in caplog.records] == ["callfare could not store spans: RuntimeError: unexpected"]


def test_the_entry_point_gives_the_exporter() -> None:
    """`OTEL_TRACES_EXPORTER=callfare` finds the class, and makes it without arguments."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = project["entry-points"]["opentelemetry_traces_exporter"]["callfare"]
    assert EntryPoint("callfare", named, "opentelemetry_traces_exporter").load() is InProcessExporter
    InProcessExporter().shutdown()


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "instrumentation")])}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
        env=environment,
    )


FORK = """
import os, sys
from tests.receive.test_in_process import StoringExporter, Opened, record_call
opened = Opened()
exporter = StoringExporter(opened)
record_call(exporter)
exporter._lock.acquire()  # as if another thread were exporting at the moment of the fork
child = os.fork()
if child == 0:
    record_call(exporter)
    os._exit(0 if (opened.opened, len(opened.store.spans)) == (2, 2) else 1)
exporter._lock.release()
status = os.waitpid(child, 0)[1]
record_call(exporter)
assert opened.opened == 1
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_opens_its_own_way() -> None:
    """A child neither waits for its parent's lock nor uses its parent's connection; the parent keeps its own."""
    done = run_python(FORK)
    assert done.returncode == 0, done.stderr


MISSING = """
import sys, logging
logging.basicConfig(format="%(message)s")
sys.modules["cost_exporter.receive.gate"] = None  # stands for any package of the extra
from callfare.export.in_process import InProcessExporter
exporter = InProcessExporter()
print(exporter.export([]).name, exporter.export([]).name)
"""


def test_a_missing_extra_is_named_once() -> None:
    """Without the service's packages the application runs, and one line says what to install."""
    done = run_python(MISSING)
    assert (done.returncode, done.stdout) == (0, "FAILURE FAILURE\n"), done.stderr
    assert done.stderr.count("pip install 'callfare[exporter]'") == 1


def test_spans_are_stored_without_a_service(database_url: str) -> None:
    """The real factory: from the ended span to the record in PostgreSQL, priced."""
    url = SecretStr("postgresql:///?" + urlencode(conninfo_to_dict(database_url)))
    exporter = StoringExporter(lambda: open_intake(Settings(database_url=url)))
    record_call(exporter)
    exporter.shutdown()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select operation, usage, status from callfare.cost_record").fetchall()
    assert rows == [("chat", {"input_tokens": 12}, "unpriced")]


def test_spans_outlive_a_database_that_is_away(database_url: str, tmp_path: Path, monkeypatch) -> None:
    """With CALLFARE_SPOOL_DIR they wait on disk, and the next run stores them."""
    monkeypatch.setenv("CALLFARE_SPOOL_DIR", str(tmp_path))
    away = spooled(StoringExporter(cannot_connect, retry_seconds_max=0))
    record_call(away)
    away.shutdown()
    assert len(list(tmp_path.glob("*.otlp"))) == 1
    url = SecretStr("postgresql:///?" + urlencode(conninfo_to_dict(database_url)))
    there = spooled(StoringExporter(lambda: open_intake(Settings(database_url=url))))
    record_call(there)
    wait_until("an empty folder", lambda: not list(tmp_path.glob("*.otlp")))
    there.shutdown()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (2,)


def cannot_connect() -> DirectIntake:
    raise StoreUnavailable("away")


def test_without_a_url_the_embedded_database_is_used() -> None:
    """No database named: one is made in the data directory, and stopped with the application."""
    with open_folder() as folder:
        settings = Settings(data_dir=folder / "data")
        store = open_intake(settings)
        url = EmbeddedPostgres(settings.data_dir / "postgres").url
        with psycopg.connect(url) as connection:
            assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (0,)
        store.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)


def test_a_chat_told_in_part_is_stored_as_partial(database_url: str) -> None:
    """What went in has a price; that nothing says what came out is on the record."""
    url = SecretStr("postgresql:///?" + urlencode(conninfo_to_dict(database_url)))
    exporter = StoringExporter(lambda: open_intake(Settings(database_url=url)))
    record_call(
        exporter, {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    )
    exporter.shutdown()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select status, cost_usd > 0, issues from callfare.cost_record").fetchall()
    assert rows == [("partial", True, ["not_stated: output_tokens"])]
