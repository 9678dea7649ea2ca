"""The way in: what takes the bytes of an admitted request and returns after COMMIT.

Receivers need an `Intake` and do not care where it works: `LocalIntake` in this process, or `workers.WorkerPool`
in several. Behind either stand the same gate, pipeline and committer, put together here and nowhere else: whatever
brings spans, a replay of dead letters too, gets the same prices and the same way to the forward endpoint.
"""

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Final, Protocol

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.value import value
from cost_exporter.forward.enrich import cost_attributes
from cost_exporter.pipeline import Pipeline
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.observed import Observer, Watch
from cost_exporter.store.ledger.committer import WRITERS, Committer
from cost_exporter.store.ledger.ledger import LedgerStore

__all__ = ["IngestOptions", "Intake", "LocalIntake"]

_DRAIN_SECONDS_MAX: Final = 15.0


class Intake(Protocol):
    """What receivers need."""

    @property
    def limits(self) -> Limits:
        """The most that a request may hold."""
        ...

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        ...


@value
class IngestOptions:
    """What ingest needs to know of the settings: little, so that it can be told to another process."""

    database_url: str = field(repr=False)
    """Secret: it may hold a password."""
    prices: tuple[Path, ...] = ()
    is_forwarding: bool = False
    forwards_content: bool = False
    estimates_usage: bool | None = None
    """From the text as well; None: from lengths alone; False: not at all."""
    trusted_cost_sources: tuple[str, ...] = ()


class LocalIntake:
    """Decodes, settles and commits in this process. Thread-safe; requests that wait together share a commit."""

    def __init__(
        self,
        options: IngestOptions,
        price: Price,
        observer: Observer,
        *,
        writers: int = WRITERS,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """`before` is called before each request is read."""
        self._before = before
        self._committer = Committer(
            lambda: LedgerStore(options.database_url, enrich=cost_attributes if options.is_forwarding else None),
            price,
            writers=writers,
            observe_seconds=observer.committed,
        )
        self._pipeline = Pipeline(
            self._committer,
            Watch(observer.stored),
            is_forwarding=options.is_forwarding,
            keeps_content=options.forwards_content,
            estimates_usage=options.estimates_usage,
            trusted_cost_sources=frozenset(options.trusted_cost_sources),
        )
        self._gate = Gate(self._ingest)

    @property
    def limits(self) -> Limits:
        """The most that a request may hold."""
        return self._gate.limits

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        return self._gate.take(body, encoding, sender)

    def give_up(self, sender: SenderIdentity, ids: bytes = b"") -> Receipt:
        """Keep of what ends its worker each time that there was one. Raises as `take`."""
        return self._gate.give_up(sender, ids)

    def take_again(self, body: bytes, sender: SenderIdentity, *, received_at_unix_ns: int) -> Receipt:
        """Store what a dead letter kept of a request, as of when it was received. Raises what reading it raises."""
        return self._ingest(
            decode(body, Encoding.PROTOBUF, sender, received_at_unix_ns=received_at_unix_ns, limits=self.limits)
        )

    def store(self, facts: Facts) -> Receipt:
        """Store what was read before. Raises as `take`."""
        self._before()
        return self._committer.submit(facts)

    def close(self) -> None:
        """Commit what is on its way, for a bounded time, and let go of the database."""
        self._committer.close(timeout_seconds=_DRAIN_SECONDS_MAX)

    def _ingest(self, request: DecodedRequest) -> Receipt:
        self._before()
        return self._pipeline(request)
