"""An exporter whose spans outlive a receiver that is away, and a program that ends meanwhile: CALLFARE_SPOOL_DIR.

A batch is on disk before it is sent, and leaves the disk when the receiver has taken it. What an outage, an exit or a
SIGKILL interrupts goes out later, or in the next run. Then a batch may arrive twice, which changes no bill: callfare
knows a span by its ids. The rule that must never break: nobody waits for a receiver that is away. One thread sends,
a batch at a time; `export` waits for it a moment, as long as it is doing well, so that a program that ends has
delivered what it made.
"""

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from opentelemetry import context as context_api
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from callfare import environment
from callfare.export.otlp_spans import spans_of
from callfare.export.spool import Parcel, Spool
from callfare.forking import reset_after_fork
from callfare.guard import note_internal_error

__all__ = ["SpooledExporter", "spooled"]

_log = logging.getLogger("callfare")
_WAIT_SECONDS: Final = 2.0
"""How long `export` waits for the receiver: less than a program takes to end (`shutdown.FLUSH_MILLISECONDS`)."""
_RETRY_SECONDS_MIN, _RETRY_SECONDS_MAX = 1.0, 30.0
_OTHERS_SECONDS: Final = 15.0
"""A batch of another process that is younger is probably just being sent by it."""
_REFUSALS_MAX: Final = 5
"""A batch that failed so often while others were taken does not fail because the receiver is away."""
_LOCK_NAME: Final = ".lock"


def spooled(exporter: SpanExporter) -> SpanExporter:
    """Return the exporter, with a spool before it where CALLFARE_SPOOL_DIR names a folder that can be written."""
    folder = environment.spool_folder()
    if not folder or environment.is_disabled():
        return exporter
    try:
        spool = Spool(Path(folder), bytes_max=environment.spool_bytes_max())
    except OSError as error:
        _log.error("no spool in %s (%s): spans are lost while the receiver is away", folder, error.strerror)
        return exporter
    return SpooledExporter(exporter, spool)


class SpooledExporter(SpanExporter):
    """Keeps each batch in `spool` until `delegate` has delivered it. Thread-safe and fork-safe."""

    def __init__(
        self,
        delegate: SpanExporter,
        spool: Spool,
        *,
        wait_seconds: float = _WAIT_SECONDS,
        retry_seconds_min: float = _RETRY_SECONDS_MIN,
    ) -> None:
        """The thread that sends begins with the first batch, or now where an earlier run left some."""
        self._delegate = delegate
        self._spool = spool
        self._wait_seconds = wait_seconds
        self._retry_seconds_min = retry_seconds_min
        self._backlog = _Backlog(spool, retry_seconds_min)
        self.reset_after_fork()
        reset_after_fork(self)
        if spool.has_waiting():
            with self._changed:
                self._has_sender()

    def reset_after_fork(self) -> None:
        """Forget who is sending: in a forked child that is the parent's business."""
        self._changed = threading.Condition()
        self._fresh: deque[tuple[Parcel, Sequence[ReadableSpan]]] = deque()
        self._is_sending = self._is_away = self._is_stopping = False
        self._spool.leave_all()
        self._backlog.release()
        self._backlog = _Backlog(self._spool, self._retry_seconds_min)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep a batch, and give the receiver a moment to take it. Never raises."""
        try:
            parcel = self._spool.add(encode_spans(spans).SerializeToString(), len(spans), is_held=True)
        except Exception as error:  # noqa: BLE001 - a full disk must not cost what the receiver might still take
            note_internal_error("keeping spans in CALLFARE_SPOOL_DIR", error)
            return self._delegate.export(spans)
        with self._changed:
            if self._is_away:
                self._spool.leave(parcel)
                return SpanExportResult.SUCCESS
            if self._has_sender():
                self._fresh.append((parcel, spans))
                self._changed.notify_all()
                self._changed.wait_for(lambda: not parcel.path.exists() or self._is_away, self._wait_seconds)
                self._is_away = self._is_away or parcel.path.exists()
                return SpanExportResult.SUCCESS
        self._deliver(parcel, spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what is being sent has been taken. What waits on disk goes out when it can."""
        with self._changed:
            is_sent = self._changed.wait_for(lambda: not self._fresh or self._is_away, timeout_millis / 1_000)
        return is_sent and self._delegate.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Stop sending and let go of the connection. What waits stays on disk for the next run."""
        with self._changed:
            self._changed.wait_for(lambda: not self._fresh or self._is_away, self._wait_seconds)
            self._is_stopping = True
            self._changed.notify_all()
        self._delegate.shutdown()

    def _has_sender(self) -> bool:
        """Start the thread that sends, if need be. False at the very end of a program, which starts no more threads."""
        if not self._is_sending:
            thread = threading.Thread(target=self._send, name="callfare-spool", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._is_sending = True
        return True

    def _send(self) -> None:
        # Sending is no call of the application's: HTTP and gRPC instrumentors must not make spans of it.
        context_api.attach(context_api.set_value("suppress_instrumentation", True))  # noqa: FBT003 - the API's signature
        try:
            while self._send_next():
                pass
        finally:
            self._backlog.release()
            with self._changed:
                self._is_sending = False

    def _send_next(self) -> bool:
        """Send one batch, or wait until there is one. False when it is time to stop."""
        with self._changed:
            if not self._fresh and not self._is_stopping:
                self._changed.wait(self._backlog.wait_seconds())
            if self._is_stopping:
                return False
            fresh = self._fresh[0] if self._fresh else None
        is_taken = self._backlog.send_one(self._delegate) if fresh is None else self._deliver(*fresh)
        with self._changed:
            if fresh is not None:
                self._fresh.popleft()
            if is_taken is not None:
                self._note(is_away=not is_taken)
            self._changed.notify_all()
        return True

    def _deliver(self, parcel: Parcel, spans: Sequence[ReadableSpan]) -> bool:
        """Send a batch that was just made; say whether it was taken."""
        is_taken = _was_taken(self._delegate, spans)
        if is_taken:
            self._spool.remove(parcel)
            self._backlog.look_again()
        else:
            self._spool.leave(parcel)
            self._backlog.postpone()
        return is_taken

    def _note(self, *, is_away: bool) -> None:
        if is_away and not self._is_away:
            _log.warning("the receiver takes no spans; they wait in %s", self._spool.folder)
        self._is_away = is_away


class _Backlog:
    """Batches that wait on disk: earlier ones, and those of programs that ended. Used only by the sending thread."""

    def __init__(self, spool: Spool, retry_seconds_min: float) -> None:
        self._spool = spool
        self._retry_seconds_min = retry_seconds_min
        self._retry_seconds = retry_seconds_min
        self._next_at_seconds: float | None = time.monotonic()
        """When to look again, monotonic; None: when something was taken."""
        self._waiting: deque[Parcel] = deque()
        """What is left of the last look at the folder, oldest first: a look costs as much as there is."""
        self._tried: set[Path] = set()
        """Without success since the last pause."""
        self._failed: set[Path] = set()
        """Without success since something else was taken."""
        self._refusals: Counter[Path] = Counter()
        self._lock: IO[bytes] | None = None

    def wait_seconds(self) -> float | None:
        """How long to wait for the next attempt; None: for good."""
        return None if self._next_at_seconds is None else max(0.0, self._next_at_seconds - time.monotonic())

    def look_again(self) -> None:
        """Something was taken: see at once what waits. What failed before is refused for what it is."""
        self._next_at_seconds = time.monotonic()
        self._retry_seconds = self._retry_seconds_min
        self._tried.clear()
        for path in self._failed:
            self._refusals[path] += 1
            if self._refusals[path] >= _REFUSALS_MAX and (parcel := Parcel.at(path)) is not None:
                self._spool.set_aside(parcel)
                del self._refusals[path]
        self._failed.clear()

    def postpone(self) -> None:
        """Nothing is taken: try again after a pause, each time a longer one."""
        self._tried.clear()
        self._waiting.clear()
        self._next_at_seconds = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _RETRY_SECONDS_MAX)

    def send_one(self, delegate: SpanExporter) -> bool | None:
        """Try the oldest batch that was not tried since the last pause.

        Say whether it was taken; None where there was none, or its failure may be its own.
        """
        parcel = self._next()
        if parcel is None:
            return None
        spans = self._read(parcel)
        if spans is None:
            return None
        if _was_taken(delegate, spans):
            self._failed.discard(parcel.path)
            self._spool.remove(parcel)
            self.look_again()
            return True
        self._tried.add(parcel.path)
        self._failed.add(parcel.path)
        if len(self._tried) == 1 and self._waiting:
            return None  # it may be this batch's fault
        self.postpone()
        return False

    def release(self) -> None:
        """Leave the folder to another process."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _next(self) -> Parcel | None:
        """Return the oldest batch to try; None where there is none, or another process sends: then pause."""
        is_empty = False
        if not self._waiting:
            self._waiting.extend(self._spool.waiting())
            is_empty = not self._waiting
        while self._waiting:
            parcel = self._waiting.popleft()
            if parcel.path not in self._tried and _is_idle(parcel):
                if self._is_ours():
                    return parcel
                break
        self._pause(is_empty=is_empty)
        return None

    def _pause(self, *, is_empty: bool) -> None:
        if is_empty:
            self._next_at_seconds = None
            self.release()
        else:
            self.postpone()

    def _read(self, parcel: Parcel) -> list[ReadableSpan] | None:
        try:
            return spans_of(parcel.path.read_bytes())
        except FileNotFoundError:  # another process was quicker
            return None
        except Exception as error:  # noqa: BLE001 - a file that somebody broke must not hold up the others
            note_internal_error("reading CALLFARE_SPOOL_DIR", error)
            self._spool.set_aside(parcel)
            return None

    def _is_ours(self) -> bool:
        """Whether this process sends what waits: one at a time does. The lock of a dead one is free."""
        if self._lock is None:
            self._lock = _locked(self._spool.folder / _LOCK_NAME)
        return self._lock is not None


def _was_taken(delegate: SpanExporter, spans: Sequence[ReadableSpan]) -> bool:
    try:
        return delegate.export(spans) is SpanExportResult.SUCCESS
    except Exception as error:  # noqa: BLE001 - it stays on disk
        note_internal_error("sending spans", error)
        return False


def _is_idle(parcel: Parcel) -> bool:
    """Whether nobody else is just sending it. Where that is wrong, two send it, and no harm is done."""
    age_seconds = (time.time_ns() - parcel.created_at_unix_ns) / 1e9
    is_young = 0 <= age_seconds < _OTHERS_SECONDS
    return not is_young or parcel.process_id == os.getpid() or not _is_alive(parcel.process_id)


def _is_alive(process_id: int) -> bool:
    if os.name != "posix":  # there, to ask would be to kill
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _locked(path: Path) -> IO[bytes] | None:
    """Open and lock a file; None where another process holds it. Where there are no locks, two may send the same."""
    file = path.open("ab")
    with suppress(ImportError):
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
