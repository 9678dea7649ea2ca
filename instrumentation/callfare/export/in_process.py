"""`OTEL_TRACES_EXPORTER=callfare`: price and store from inside the application, without a service.

The service is imported on the first export, so that the application starts as fast as before. Whatever goes
wrong here is logged once and counted by the SDK as a failed export; the application goes on (rule 29).
With CALLFARE_DISABLED it takes spans and stores none.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from callfare import environment
from callfare.export.spooled import spooled
from callfare.forking import reset_after_fork

if TYPE_CHECKING:
    from cost_exporter.receive.in_process import InProcessIntake

__all__ = ["InProcessExporter", "StoringExporter"]

logger = logging.getLogger(__name__)
_RETRY_SECONDS_MAX = 10.0
_FIRST_WAIT_SECONDS = 0.25


class InProcessExporter(SpanExporter):
    """OpenTelemetry's entry point: a `StoringExporter`, behind a spool where CALLFARE_SPOOL_DIR names one."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._exporter = spooled(StoringExporter())

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store the spans. Never raises."""
        return self._exporter.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for an export that is under way."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Let go of the database."""
        self._exporter.shutdown()


class StoringExporter(SpanExporter):
    """Stores the spans it is given, returning after they are committed. Thread-safe and fork-safe."""

    def __init__(
        self,
        open_intake: "Callable[[], InProcessIntake] | None" = None,
        *,
        retry_seconds_max: float = _RETRY_SECONDS_MAX,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_intake` is replaced in tests."""
        self._open_intake = open_intake or _open_intake
        self._retry_seconds_max = retry_seconds_max
        self._monotonic_seconds = monotonic_seconds
        self.reset_after_fork()
        reset_after_fork(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store the spans, trying again for a while where that may help. Never raises."""
        if environment.is_disabled():
            return SpanExportResult.SUCCESS
        try:
            body = encode_spans(spans).SerializeToString()
            with self._lock:
                return self._stored(body)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the app
            self._say_once(error)
            return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here: `export` returns after COMMIT. Waits for an export that is under way."""
        is_free = self._lock.acquire(timeout=timeout_millis / 1_000)
        if is_free:
            self._lock.release()
        return is_free

    def shutdown(self) -> None:
        """Commit what is under way and let go of the database. An export that waits to try again gives up."""
        self._stopping.set()
        with self._lock:
            intake, self._intake = self._intake, None
        if intake is None:
            return
        try:
            intake.close()
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the app
            self._say_once(error)

    def reset_after_fork(self) -> None:
        """Forget everything: in a forked child it is the parent's, its lock, its connections, its threads."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._intake: InProcessIntake | None = None
        self._logged: set[str] = set()

    def _stored(self, body: bytes) -> SpanExportResult:
        deadline_seconds = self._monotonic_seconds() + self._retry_seconds_max
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            try:
                self._opened()(body)
            except Exception as error:
                if not _may_pass(error) or self._monotonic_seconds() + wait_seconds > deadline_seconds:
                    raise
            else:
                return SpanExportResult.SUCCESS
            self._stopping.wait(wait_seconds)
            wait_seconds *= 2
        return SpanExportResult.FAILURE

    def _opened(self) -> "InProcessIntake":
        if self._intake is None:
            self._intake = self._open_intake()
        return self._intake

    def _say_once(self, error: Exception) -> None:
        """Log one line for each kind of error; the text of others than ours might quote a prompt."""
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            text = str(error) if _is_ours(error) else "unexpected"
            logger.error("callfare could not store spans: %s: %s", kind, text)


def _open_intake() -> "InProcessIntake":
    try:
        from cost_exporter.receive.in_process import open_intake  # noqa: PLC0415 - only who exports needs the extra

        return open_intake()
    except ModuleNotFoundError as error:
        from cost_exporter.errors import MissingExtra  # noqa: PLC0415 - same; this module needs no extra

        raise MissingExtra("OTEL_TRACES_EXPORTER=callfare", "exporter") from error


def _may_pass(error: Exception) -> bool:
    from cost_exporter.errors import Overloaded, StoreUnavailable  # noqa: PLC0415 - kept out of the app's start

    return isinstance(error, (StoreUnavailable, Overloaded))


def _is_ours(error: Exception) -> bool:
    from cost_exporter.errors import CallfareError  # noqa: PLC0415 - kept out of the app's start

    return isinstance(error, CallfareError)
