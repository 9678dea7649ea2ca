"""The way in: what takes the bytes of an admitted request and returns after COMMIT.

Receivers need an `Intake` and do not care where it works: `LocalIntake` in this process, or `workers.WorkerPool`
in several. Behind either are the same gate and the same pipeline, which `assembly.py` puts together: whatever brings
spans, a replay of dead letters too, gets the same prices and the same way to the forward endpoint.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from cost_exporter.assembly import IngestOptions, LedgerPipeline
from cost_exporter.domain.facts import DeadLetter, Facts, Receipt
from cost_exporter.domain.settling.settle import Price
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.admission import Permit
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.observed import Observer, Watch
from cost_exporter.receive.stuck import StuckBatches
from cost_exporter.store.ledger.committer import WRITERS

__all__ = ["Intake", "LocalIntake", "stored"]

_THREADS: Final = 32
"""Requests that wait in them share a commit."""


class Intake(Protocol):
    """The interface that the receivers use."""

    @property
    def limits(self) -> Limits:
        """The most that a request may hold."""
        ...

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        ...

    def begin(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> "Future[Receipt]":
        """Begin to take the request and return at once; the future gets what `take` returns or raises."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether the processes that do the work give signs of life."""
        ...


class LocalIntake:
    """Decodes, settles and commits in this process. Thread-safe; requests that wait together share a commit."""

    def __init__(
        self,
        options: IngestOptions,
        price: Price,
        observer: Observer,
        *,
        writers: int = WRITERS,
        before: Callable[[], object] | None = None,
        is_prepared: Callable[[], bool] = lambda: True,
        stuck: StuckBatches | None = None,
    ) -> None:
        """`before` is called before each request is stored; while `is_prepared`, it has nothing to do.

        `stuck` says for how long a request that keeps failing through a fault of ours is tried again.
        """
        self._before = before
        self._is_prepared = is_prepared
        self._threads = ThreadPoolExecutor(_THREADS, "intake")
        self._pipeline = LedgerPipeline(
            options,
            price,
            writers=writers,
            observe=Watch(observer.stored),
            observe_commit_seconds=observer.committed,
        )
        self._gate = Gate(self._store_request, stuck=stuck, begin_storing=self._pipeline.begin)

    @property
    def limits(self) -> Limits:
        """The most that a request may hold."""
        return self._gate.limits

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        return self._gate.take(body, encoding, sender)

    def begin(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> "Future[Receipt]":
        """Begin to take the request in a thread; the future gets what `take` returns or raises."""
        return self._threads.submit(self.take, body, encoding, sender)

    @property
    def is_ready(self) -> bool:
        """Whether the process that does the work gives signs of life: it is this one."""
        return True

    def begin_here(
        self, body: bytes, encoding: Encoding, sender: SenderIdentity, done: Callable[[Receipt | Exception], object]
    ) -> bool:
        """Decode and read the request in this thread, and wait for nothing; see `Gate.begin`."""
        return self._is_prepared() and self._gate.begin(body, encoding, sender, done)

    def store_crashing_request(self, sender: SenderIdentity, ids: bytes = b"") -> Receipt:
        """Keep of what ends its worker each time that there was one. Raises as `take`."""
        return self._gate.store_crashing_request(sender, ids)

    def take_joined(self, body: bytes, sender: SenderIdentity) -> Receipt:
        """Store requests that were laid end to end, all or none. Raises what any of them alone would raise."""
        return self._store_request(
            decode(
                body,
                Encoding.PROTOBUF,
                sender,
                received_at_unix_ns=time.time_ns(),
                limits=self.limits,
                is_salvaging=False,
            )
        )

    def take_alone(self, body: bytes, sender: SenderIdentity) -> Receipt:
        """Store what can be saved of a request in protobuf. Raises as `take`."""
        return self.take(body, Encoding.PROTOBUF, sender)

    def store_dead_letter(self, letter: DeadLetter, sender: SenderIdentity) -> Receipt:
        """Keep a dead letter of what no span could be read from. Raises `StoreUnavailable` or `Overloaded`."""
        return self.store(
            Facts(
                namespace=sender.namespace,
                tenant_is_trusted=sender.tenant_is_trusted,
                received_at_unix_ns=time.time_ns(),
                dead_letters=[letter],
            )
        )

    def take_again(self, body: bytes, sender: SenderIdentity, *, received_at_unix_ns: int) -> Receipt:
        """Store what a dead letter kept of a request, as of when it was received. Raises what reading it raises."""
        return self._store_request(
            decode(body, Encoding.PROTOBUF, sender, received_at_unix_ns=received_at_unix_ns, limits=self.limits)
        )

    def store(self, facts: Facts) -> Receipt:
        """Store what was read before. Raises as `take`."""
        self._prepare()
        return self._pipeline.submit(facts)

    def close(self) -> None:
        """Commit what is on its way, for a bounded time, and let go of the database."""
        self._pipeline.close()
        self._threads.shutdown(wait=False)

    def _store_request(self, request: DecodedRequest) -> Receipt:
        self._prepare()
        return self._pipeline(request)

    def _prepare(self) -> None:
        if self._before is not None:
            self._before()


async def stored(intake: Intake, body: bytes, encoding: Encoding, sender: SenderIdentity, permit: Permit) -> Receipt:
    """Return what became of an admitted request, and give its permit back then, whether its sender still waits or not.

    On the event loop. Work that has begun is done to its end: who hangs up must not make room for more than there is.
    """
    try:
        answered = asyncio.wrap_future(intake.begin(body, encoding, sender))
    except BaseException:
        permit.leave()
        raise
    answered.add_done_callback(lambda _: permit.leave())
    return await asyncio.shield(answered)
