"""A worker: a process that does the work of ingest for the service's process, so that more than one core does.

`python -m cost_exporter.receive.workers.worker` reads requests from its standard input and writes replies to its
standard output (`frames.py`). It works on several at a time, so that they share commits, and has its own connections
and its own price book. It ends when its input does, also where the service was killed: what it holds then is committed
first. It ignores signals that ask to stop: sent to a whole group or terminal they are meant for the service, which lets
its workers answer before it ends their input.

What is imported here is paid for in memory by every worker: no server, no settings, no metrics.
"""

import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO, Final

import psycopg

from cost_exporter.assembly import IngestOptions, price_by
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError, Overloaded, StoreUnavailable
from cost_exporter.receive.books import RefreshedBooks
from cost_exporter.receive.gate import is_our_fault, place_of
from cost_exporter.receive.intake import LocalIntake
from cost_exporter.receive.observed import Observed
from cost_exporter.receive.process import collect_garbage_less_often, start_logging
from cost_exporter.receive.workers.frames import (
    READY,
    OurFault,
    WorkerReply,
    WorkerRequest,
    read_options,
    read_request,
    write_reply,
)

__all__ = ["main"]

_LOG = logging.getLogger(__name__)
_THREADS: Final = 32
"""As many as the service admits at a time: what waits here shares a commit."""
_DRAIN_SECONDS_MAX: Final = 18.0
_SMALL_BYTES: Final = 32 * 1024
_CANNOT_ANSWER: Final = 70


def main() -> int:
    """Work until standard input ends. Return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    requests, replies = _own_pipes()
    start_logging()
    options = read_options(requests)
    if options is None:
        return 0  # the service ended before it sent the options
    try:
        worker = _Worker(options, replies)
    except CallfareError as error:
        return _not_ready(replies, error)
    except psycopg.Error as error:
        why, _, _ = str(error).partition("\n")
        return _not_ready(replies, StoreUnavailable(f"a worker cannot reach the database: {why}"))
    worker.work(requests)
    return 0


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the two pipes, and see to it that nothing else reads or prints there."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - no path of ours
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def _not_ready(replies: BinaryIO, error: CallfareError) -> int:
    with suppress(BrokenPipeError):
        write_reply(replies, WorkerReply(number=READY, error=error))
    return 1


class _Worker:
    """Takes requests, and says what became of them and what it saw: it is the intake's `Observer`."""

    def __init__(self, options: IngestOptions, replies: BinaryIO) -> None:
        self._replies = replies
        self._lock = threading.Lock()
        self._observed: list[Observed] = []
        self._commit_seconds: list[float] = []
        self._books = RefreshedBooks(options.database_url, options.prices)
        self._intake = LocalIntake(
            options,
            price_by(lambda: self._books.book),
            self,
            before=self._books.refresh,
            is_prepared=lambda: self._books.is_fresh,
        )

    def work(self, requests: BinaryIO) -> None:
        """Answer requests until there are no more to come."""
        collect_garbage_less_often()
        self._answer(WorkerReply(number=READY))
        with ThreadPoolExecutor(_THREADS, "worker") as threads:
            while (request := read_request(requests)) is not None:
                if request.number == READY:  # asks whether we live
                    self._answer(WorkerReply(number=READY))
                elif not self._is_begun(request, threads):
                    threads.submit(self._take, request)
            _end_in(_DRAIN_SECONDS_MAX)
        self._intake.close()
        self._books.close()

    def stored(self, observed: Observed) -> None:
        """Remember what a request brought, until the next reply."""
        with self._lock:
            self._observed.append(observed)

    def committed(self, duration_seconds: float) -> None:
        """Remember how long a commit took, until the next reply."""
        with self._lock:
            self._commit_seconds.append(duration_seconds)

    def _is_begun(self, request: WorkerRequest, threads: ThreadPoolExecutor) -> bool:
        """Begin a small request here, which costs less than to hand it to a thread. False where a thread should."""
        if request.is_given_up or len(request.body) > _SMALL_BYTES:
            return False

        def done(outcome: Receipt | Exception) -> None:
            if isinstance(outcome, Receipt):
                self._answer(WorkerReply(number=request.number, receipt=outcome))
            elif isinstance(outcome, CallfareError) and not is_our_fault(outcome):
                self._answer(WorkerReply(number=request.number, error=outcome))
            else:
                self._resubmit(request, threads)

        return self._intake.begin_here(request.body, request.encoding, request.sender, done)

    def _resubmit(self, request: WorkerRequest, threads: ThreadPoolExecutor) -> None:
        try:
            threads.submit(self._take, request)
        except RuntimeError:  # its threads end: the service stops
            error = StoreUnavailable("the service is shutting down")
            self._answer(WorkerReply(number=request.number, error=error))

    def _take(self, request: WorkerRequest) -> None:
        try:
            self._answer(self._reply(request))
        except BaseException as error:  # noqa: BLE001 - the service waits for each answer
            _LOG.critical("a worker cannot answer and ends: %s", place_of(error))
            os._exit(_CANNOT_ANSWER)

    def _reply(self, request: WorkerRequest) -> WorkerReply:
        try:
            if request.is_given_up:
                receipt = self._intake.store_crashing_request(request.sender, request.body)
            else:
                receipt = self._intake.take(request.body, request.encoding, request.sender)
        except CallfareError as error:
            return WorkerReply(number=request.number, error=error)
        except Exception as error:  # noqa: BLE001 - a bug of ours in the gate itself; the sender tries again
            _LOG.error("our fault: %s", place_of(error))
            fault = Overloaded("something went wrong on our side; try again")
            fault.__cause__ = OurFault()
            return WorkerReply(number=request.number, error=fault)
        return WorkerReply(number=request.number, receipt=receipt)

    def _answer(self, reply: WorkerReply) -> None:
        with self._lock, suppress(BrokenPipeError):  # nobody is there any more: the sender will ask another service
            write_reply(
                self._replies,
                WorkerReply(
                    number=reply.number,
                    receipt=reply.receipt,
                    error=reply.error,
                    observed=tuple(self._observed),
                    commit_seconds=tuple(self._commit_seconds),
                ),
            )
            self._observed.clear()
            self._commit_seconds.clear()


def _end_in(seconds: float) -> None:
    """End this process after so long, whatever it still waits for: it must not outlive the service for ever."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
