"""A worker as the service's process sees it: started, asked, listened to, ended."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import IO, BinaryIO, Final, cast

from cost_exporter.assembly import IngestOptions
from cost_exporter.errors import StoreUnavailable
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.workers.frames import (
    READY,
    WorkerReply,
    WorkerRequest,
    read_reply,
    write_options,
    write_request,
)

__all__ = ["WorkerEnded", "WorkerProcess"]

_MODULE: Final = "cost_exporter.receive.workers.worker"
_PIPE_BYTES: Final = 1024 * 1024
"""Room for a whole request, as a rule: each refill of a small pipe would wait for the worker's interpreter."""
_END_INPUT_SECONDS_MAX: Final = 2.0
_ASK_SECONDS_MAX: Final = 0.5
_SIGN: Final = WorkerRequest(number=READY, body=b"", encoding=Encoding.PROTOBUF, sender=SenderIdentity())


class WorkerEnded(StoreUnavailable):
    """The worker ended while it had the request, perhaps because of it."""


class WorkerProcess:
    """One worker, from its start to its end."""

    def __init__(self) -> None:
        """Start a clean interpreter with the modules of this one. It has no options yet."""
        modules = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - a string is wanted
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": modules},
        )
        self._requests = _roomy(self._process.stdin)
        self._replies = _roomy(self._process.stdout)
        self._writing = threading.Lock()
        self._changing = threading.Lock()
        self._waiting: dict[int, tuple[int, Future[WorkerReply]]] = {}
        self._in_flight_bytes = 0
        self._last_number = READY
        self._asked_at_seconds: float | None = None
        """When it was first asked whether it lives and has not answered."""

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def in_flight_count(self) -> int:
        """How many requests it has not answered."""
        return len(self._waiting)

    @property
    def in_flight_bytes(self) -> int:
        """How large those requests are."""
        return self._in_flight_bytes

    @property
    def has_room(self) -> bool:
        """Whether what is in flight fits into the pipe, so that one more small request can be sent without waiting."""
        return self._in_flight_bytes < _PIPE_BYTES // 4

    def silent_seconds(self) -> float:
        """Return for how long it has owed a sign of life."""
        asked_at_seconds = self._asked_at_seconds
        return 0.0 if asked_at_seconds is None else time.monotonic() - asked_at_seconds

    def ask_for_a_sign(self) -> None:
        """Ask it for a reply, unless it still owes one. Never blocks for long."""
        if self._asked_at_seconds is not None:
            return
        self._asked_at_seconds = time.monotonic()
        if self._writing.acquire(timeout=_ASK_SECONDS_MAX):
            try:
                if self.has_room:  # else it has enough to answer
                    with suppress(OSError, ValueError):
                        write_request(self._requests, _SIGN)
            finally:
                self._writing.release()

    def await_ready(self, options: IngestOptions) -> None:
        """Send it its options, and return when it is ready. Raises the `CallfareError` that kept it from starting."""
        with self._writing, suppress(OSError, ValueError):  # ValueError: the pipe was closed meanwhile
            write_options(self._requests, options)
        ready = read_reply(self._replies)
        if ready is None:
            raise StoreUnavailable("a worker ended before it was ready; its last words are in the log")
        if ready.error is not None:
            raise ready.error

    def enter(self, size_bytes: int = 0) -> tuple[int, "Future[WorkerReply]"]:
        """Note that a request comes: from now on it is in flight. Return its number, and where its reply will be."""
        future = Future[WorkerReply]()
        with self._changing:
            self._last_number += 1
            self._waiting[self._last_number] = size_bytes, future
            self._in_flight_bytes += size_bytes
            return self._last_number, future

    def send(self, request: WorkerRequest) -> None:
        """Send the request. If the worker is gone, the listening thread notices it and fails the request."""
        with self._writing, suppress(OSError, ValueError):  # as above
            write_request(self._requests, request)

    def listen(self, on_reply: Callable[[WorkerReply], None]) -> int:
        """Hand on replies until the worker ends; return its exit code. Then nothing may be entered any more."""
        while (reply := read_reply(self._replies)) is not None:
            self._asked_at_seconds = None
            on_reply(reply)
            if reply.number == READY:
                continue
            with self._changing:
                size_bytes, future = self._waiting.pop(reply.number)
                self._in_flight_bytes -= size_bytes
            future.set_result(reply)
        return self._process.wait()

    def fail_waiting(self) -> None:
        """Fail the requests of a worker that has ended; their senders try again."""
        while self._waiting:
            _, (_, future) = self._waiting.popitem()
            future.set_exception(WorkerEnded("a worker ended; try again"))

    def end_input(self) -> None:
        """Let the worker finish what it has, and end. `listen` returns when it did."""
        if not self._writing.acquire(timeout=_END_INPUT_SECONDS_MAX):
            self.kill()  # it does not even read
            return
        try:
            with suppress(OSError):
                self._requests.close()
        finally:
            self._writing.release()

    def kill(self) -> None:
        """End the process at once; what it holds is lost, and its senders are asked to try again."""
        self._process.kill()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        for pipe in (self._requests, self._replies):
            with suppress(OSError):  # what was not written cannot be any more
                pipe.close()


def _roomy(stream: IO[bytes] | None) -> BinaryIO:
    """Return the pipe with more room in it, where the system lets us."""
    assert stream is not None
    with suppress(ImportError, AttributeError, OSError):
        import fcntl  # noqa: PLC0415 - there is none on Windows

        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return cast("BinaryIO", stream)
