"""A request that ended each worker, tried in parts in a worker of its own, so that its good spans are stored.

No other request is in that worker, so no other sender has to try again when it ends.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import StoreUnavailable
from cost_exporter.receive.decoding.apart import Piece, joined, pieces_of, taken_in_parts
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.workers.frames import WorkerReply, WorkerRequest
from cost_exporter.receive.workers.process import WorkerEnded, WorkerProcess

__all__ = ["Quarantine"]

_LOG = logging.getLogger(__name__)
_WORKERS_MAX: Final = 64
"""Workers that one request may end; what is left of it then is not tried any more."""


class Quarantine:
    """Tries one request at a time. Thread-safe."""

    def __init__(self, start: Callable[[], WorkerProcess], observe: Callable[[WorkerReply], None]) -> None:
        """`start` returns a worker that is ready; `observe` gets all its replies."""
        self._start = start
        self._observe = observe
        self._busy = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._ended_count = 0

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> tuple[list[Receipt], list[Piece]]:
        """Return the receipts of the parts that could be taken, and the spans that ended their worker alone."""
        pieces = pieces_of(body, encoding)
        if not pieces:
            return [], []
        if not self._busy.acquire(blocking=False):
            raise StoreUnavailable("a request that ends workers is being tried in parts; try again")
        try:
            self._ended_count = 0
            return taken_in_parts(pieces, lambda part: self._taken(part, encoding, sender), _has_ended_it)
        finally:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.end_input()
            self._busy.release()

    def _taken(self, part: Sequence[Piece], encoding: Encoding, sender: SenderIdentity) -> Receipt:
        if self._ended_count >= _WORKERS_MAX:
            raise WorkerEnded("too many workers ended over one request")
        if self._worker is None:
            self._worker = self._start()
            threading.Thread(target=self._listen, args=(self._worker,), name="quarantine", daemon=True).start()
        number, reply = self._worker.enter()
        self._worker.send(WorkerRequest(number=number, body=joined(part, encoding), encoding=encoding, sender=sender))
        try:
            answer = reply.result()
        except WorkerEnded:
            self._worker = None
            self._ended_count += 1
            raise
        if answer.error is not None:
            raise answer.error
        assert answer.receipt is not None
        return answer.receipt

    def _listen(self, worker: WorkerProcess) -> None:
        exit_code = worker.listen(self._observe)
        if exit_code:
            _LOG.error("a worker in quarantine ended (exit code %d)", exit_code)
        worker.fail_waiting()
        worker.close()


def _has_ended_it(error: Exception) -> bool:
    return isinstance(error, WorkerEnded)
