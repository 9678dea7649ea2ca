"""Ingest on several cores: an `Intake` whose work is done in worker processes.

One interpreter computes on one core, and a Collector sends all it has over one connection. So the service's process
receives, and what is behind the gate happens in workers (`worker.py`), each of which does all of it: read, settle,
price, commit. That is safe for the same reason as several services on one database are: settling locks the traces it
touches. Small requests go to one worker until it has enough, so that they share its commits.

If a worker ends, the senders of its uncommitted requests are asked to retry, committed spans are deduplicated, and
the worker is started again; one that gives no sign of life for long is ended. A request that ends its worker each time
is moved to dead letters after a bounded time, like one that fails each time, and then tried in parts as well
(`quarantine.py`). Nothing is queued here: admission bounds the requests under way.
"""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from cost_exporter.assembly import IngestOptions
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError, StoreUnavailable
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.observed import Observer
from cost_exporter.receive.stuck import StuckBatches, batch_name
from cost_exporter.receive.workers.frames import WorkerReply, WorkerRequest
from cost_exporter.receive.workers.process import WorkerEnded, WorkerProcess
from cost_exporter.receive.workers.quarantine import Quarantine
from cost_exporter.store.ledger.isolate import sum_of

__all__ = ["WorkerPool"]

_LOG = logging.getLogger(__name__)
_AWAIT_WORKER_SECONDS_MAX: Final = 2.0
_RESTART_SECONDS: Final = (0.1, 5.0)
"""The first wait, and the longest: it doubles while a worker does not live long."""
_LIVED_LONG_SECONDS: Final = 10.0
_END_SECONDS_MAX: Final = 20.0
_SMALL_BYTES: Final = 64 * 1024
_ENOUGH_BYTES: Final = 256 * 1024
_ENOUGH_COUNT: Final = 64
_THREADS: Final = 32
"""For what has to wait: for the room in a pipe, for a worker that starts, for a request that is tried in parts."""
_WATCH_EVERY_SECONDS: Final = 1.0
_SILENT_SECONDS_READY: Final = 5.0
_SILENT_SECONDS_MAX: Final = 30.0
"""Patient, because a busy machine may leave a worker alone for long, and what it has would be sent again."""


class WorkerPool:
    """A number of workers, each started again when it ends. Thread-safe; `close` it once."""

    def __init__(
        self,
        options: IngestOptions,
        observer: Observer,
        *,
        count: int,
        stuck: StuckBatches | None = None,
        silent_seconds_max: float = _SILENT_SECONDS_MAX,
    ) -> None:
        """Start the workers and return when all are ready. Raises the `CallfareError` why one is not."""
        self.limits = Limits()
        self._options = options
        self._observer = observer
        self._silent_seconds_max = silent_seconds_max
        self._stuck = stuck or StuckBatches()
        self._quarantine = Quarantine(self._started, self._note_reply)
        self._changed = threading.Condition()
        self._alive: list[WorkerProcess] = []
        self._ready: list[WorkerProcess] = []
        self._is_closing = threading.Event()
        self._threads = ThreadPoolExecutor(_THREADS, "worker-pool")
        self._keepers: list[threading.Thread] = []
        for worker in [self._spawned() for _ in range(count)]:  # all are under way before one is waited for
            self._keepers.append(threading.Thread(target=self._keep, args=(worker,), name="worker-keeper", daemon=True))
        try:
            for worker in list(self._alive):
                self._await_ready(worker)
        except BaseException:
            self._is_closing.set()
            raise
        finally:
            for keeper in self._keepers:
                keeper.start()
            self._watcher = threading.Thread(target=self._watch, name="worker-watcher", daemon=True)
            self._watcher.start()
            if self._is_closing.is_set():
                self.close()

    @property
    def in_flight_counts(self) -> dict[int, int]:
        """How many requests each worker that is ready has in flight, by its process id."""
        with self._changed:
            return {worker.pid: worker.in_flight_count for worker in self._ready}

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        try:
            receipt = self._taken(body, encoding, sender)
        except WorkerEnded as ended:
            return self._after_end(ended, body, encoding, sender)
        self._note_taken(body, sender)
        return receipt

    def begin(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> "Future[Receipt]":
        """Begin to take the request and return at once; the future gets what `take` returns or raises."""
        with self._changed:
            worker = self._chosen()
            if worker is None or not worker.has_room or len(body) > _SMALL_BYTES:
                return self._threads.submit(self.take, body, encoding, sender)
            number, reply = worker.enter(len(body))
        outcome = Future[Receipt]()

        def settle(answered: "Future[WorkerReply]") -> None:
            error = answered.exception()
            if isinstance(error, WorkerEnded):
                self._threads.submit(self._tell_after_end, outcome, error, body, encoding, sender)
                return
            answer = answered.result()
            if answer.error is not None:
                outcome.set_exception(answer.error)
                return
            assert answer.receipt is not None
            self._note_taken(body, sender)
            outcome.set_result(answer.receipt)

        reply.add_done_callback(settle)
        worker.send(WorkerRequest(number=number, body=body, encoding=encoding, sender=sender))
        return outcome

    @property
    def is_ready(self) -> bool:
        """Whether a worker is there that gives signs of life."""
        with self._changed:
            return any(worker.silent_seconds() < _SILENT_SECONDS_READY for worker in self._ready)

    def _note_taken(self, body: bytes, sender: SenderIdentity) -> None:
        if not self._stuck.is_empty:
            self._stuck.forget(batch_name(sender.namespace, body))

    def _tell_after_end(
        self, outcome: "Future[Receipt]", ended: WorkerEnded, body: bytes, encoding: Encoding, sender: SenderIdentity
    ) -> None:
        try:
            outcome.set_result(self._after_end(ended, body, encoding, sender))
        except Exception as error:  # noqa: BLE001 - raised where the outcome is awaited
            outcome.set_exception(error)

    def _after_end(self, ended: WorkerEnded, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Have the sender try again, or, where that was in vain for long, store the request in parts."""
        batch = batch_name(sender.namespace, body)
        if not self._stuck.is_given_up(batch):
            raise ended
        receipt = self._taken_in_parts(body, encoding, sender)
        self._stuck.forget(batch)
        _LOG.error(
            "batch %s kept ending its workers: %d of its spans are dead letters now",
            batch.hex()[:12],
            receipt.dead_letter,
        )
        return receipt

    def close(self) -> None:
        """Let the workers finish what they have, for a bounded time, and end them."""
        self._is_closing.set()
        for worker in self._all_alive():
            worker.end_input()
        deadline_seconds = time.monotonic() + _END_SECONDS_MAX
        for keeper in self._keepers:
            keeper.join(max(0.0, deadline_seconds - time.monotonic()))
        for worker in self._all_alive():
            _LOG.error("worker %d does not end; it is killed", worker.pid)
            worker.kill()
        for keeper in self._keepers:
            keeper.join()
        self._threads.shutdown(wait=False)

    def _taken_in_parts(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Store what ends no worker; the rest becomes dead letters, by span or as one if it cannot be decoded."""
        receipts, deadly = self._quarantine.take(body, encoding, sender)
        ids = [each.trace_id + each.span_id for each in deadly] or ([] if receipts else [b""])
        receipts += [self._taken(each, encoding, sender, is_given_up=True) for each in ids]
        return sum_of(receipts)

    def _started(self) -> WorkerProcess:
        """Return a worker for the quarantine. It is ended like all others when the pool is closed."""
        if self._is_closing.is_set():
            raise StoreUnavailable("the service is shutting down")
        worker = WorkerProcess()
        worker.await_ready(self._options)
        return worker

    def _taken(self, body: bytes, encoding: Encoding, sender: SenderIdentity, *, is_given_up: bool = False) -> Receipt:
        with self._changed:
            self._changed.wait_for(lambda: self._ready, _AWAIT_WORKER_SECONDS_MAX)
            worker = self._chosen()
            if worker is None:
                raise StoreUnavailable("no worker is ready; try again")
            number, reply = worker.enter(len(body))
        worker.send(WorkerRequest(number=number, body=body, encoding=encoding, sender=sender, is_given_up=is_given_up))
        answer = reply.result()
        if answer.error is not None:
            raise answer.error
        assert answer.receipt is not None
        return answer.receipt

    def _chosen(self) -> WorkerProcess | None:
        """Return the first worker that has not enough yet, else the one with the least."""
        if not self._ready:
            return None
        for worker in self._ready:
            if worker.in_flight_bytes < _ENOUGH_BYTES and worker.in_flight_count < _ENOUGH_COUNT:
                return worker
        return min(self._ready, key=lambda each: each.in_flight_bytes)

    def _watch(self) -> None:
        """End workers that are hung; their keepers start others."""
        while not self._is_closing.wait(_WATCH_EVERY_SECONDS):
            with self._changed:
                ready = list(self._ready)
            for worker in ready:
                if worker.silent_seconds() > self._silent_seconds_max:
                    _LOG.error("worker %d gives no sign of life; it is killed", worker.pid)
                    worker.kill()
                worker.ask_for_a_sign()

    # ------------------------------------------------------------------------------------- one thread keeps a worker

    def _keep(self, worker: WorkerProcess) -> None:
        """Listen to a worker, and to the next one when it ends, until the pool is closed."""
        pause_seconds, longest_seconds = _RESTART_SECONDS
        while True:
            began_at_seconds = time.monotonic()
            self._listen(worker)
            if time.monotonic() - began_at_seconds >= _LIVED_LONG_SECONDS:
                pause_seconds = _RESTART_SECONDS[0]
            if self._is_closing.wait(pause_seconds):
                return
            pause_seconds = min(2 * pause_seconds, longest_seconds)
            worker = self._spawned()
            try:
                self._await_ready(worker)
            except CallfareError as error:
                _LOG.error("a worker cannot start: %s", error)

    def _spawned(self) -> WorkerProcess:
        worker = WorkerProcess()
        with self._changed:
            self._alive.append(worker)
        if self._is_closing.is_set():
            worker.end_input()
        return worker

    def _await_ready(self, worker: WorkerProcess) -> None:
        worker.await_ready(self._options)
        with self._changed:
            self._ready.append(worker)
            self._changed.notify_all()

    def _listen(self, worker: WorkerProcess) -> None:
        """Return when the worker has ended."""
        exit_code = worker.listen(self._note_reply)
        with self._changed:
            self._alive.remove(worker)
            if worker in self._ready:
                self._ready.remove(worker)
        worker.fail_waiting()  # only now, so that an immediate retry does not reach the dead worker
        worker.close()
        if not self._is_closing.is_set():
            _LOG.error("worker %d ended (exit code %d); another one is started", worker.pid, exit_code)

    def _note_reply(self, reply: WorkerReply) -> None:
        for observed in reply.observed:
            self._observer.stored(observed)
        for seconds in reply.commit_seconds:
            self._observer.committed(seconds)

    def _all_alive(self) -> list[WorkerProcess]:
        with self._changed:
            return list(self._alive)
