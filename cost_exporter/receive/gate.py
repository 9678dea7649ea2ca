"""From the bytes of one admitted request to its receipt, the same for every transport.

A sender's mistake is refused permanently; a temporary error is answered with "try again". An unexpected exception is
our fault: the sender is asked to try again, and after a bounded time the batch is tried in parts. Only the spans that
fail alone become dead letters.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from cost_exporter.domain.facts import DeadLetter, Receipt
from cost_exporter.errors import CallfareError, Overloaded, ReceiveError, StoreFault, StoreUnavailable
from cost_exporter.read.dead_letter import dead_letter_of
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.decoding.apart import Piece, joined, pieces_of, taken_in_parts
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.receive.stuck import StuckBatches, batch_name
from cost_exporter.store.ledger.isolate import sum_of

__all__ = ["BeginStoring", "Gate", "is_our_fault", "place_of"]

BeginStoring = Callable[[DecodedRequest, Callable[[Receipt | Exception], object]], bool]
_LOG = logging.getLogger(__name__)
_TRACE_ID_BYTES: Final = 16
_DECODERS: Final = 2
"""Decoding holds the interpreter: more at a time would only hold more memory."""
_CRASHED_WORKER: Final = "the worker ended each time; the request was not decoded"
_STRIPPED_SPANS_MAX: Final = 10_000
"""Spans of an abandoned batch that keep their payload; further ones are only counted."""


class StoreRequest(Protocol):
    """The interface of the pipeline that the gate needs."""

    def __call__(self, request: DecodedRequest) -> Receipt:
        """Store the request and return after COMMIT.

        Raises `StoreUnavailable` or `Overloaded` where the sender should try again. Anything else it raises is
        our own fault: the sender tries again for a while, then the batch becomes dead letters.
        """
        ...


class Gate:
    """Decodes and stores. Thread-safe; all receivers share one."""

    def __init__(
        self,
        store: StoreRequest,
        *,
        limits: Limits | None = None,
        stuck: StuckBatches | None = None,
        store_dead_letters: StoreRequest | None = None,
        begin_storing: BeginStoring | None = None,
        now_unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`store_dead_letters` stores an abandoned batch, which holds dead letters only; by default `store` does.

        With `begin_storing`, which begins to store a request and calls back with what became of it, `begin` works.
        """
        self.limits = limits or Limits()
        self._store = store
        self._begin_storing = begin_storing
        self._store_dead_letters = store_dead_letters or store
        self._stuck = stuck or StuckBatches()
        self._now_unix_ns = now_unix_ns
        self._decoders = threading.BoundedSemaphore(_DECODERS)

    def take(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        request: DecodedRequest | None = None
        try:
            request = self._decoded(body, encoding, sender)
            receipt = self._store(request)
        except Exception as error:
            if not is_our_fault(error):
                raise
            return self._after_our_fault(error, body, encoding, request, sender)
        if not self._stuck.is_empty:
            self._stuck.forget(batch_name(sender.namespace, body))
        return receipt

    def begin(
        self, body: bytes, encoding: Encoding, sender: SenderIdentity, done: Callable[[Receipt | Exception], object]
    ) -> bool:
        """Begin to take a request without waiting for its commit. False, and no more, where `take` should take it.

        `done` gets the receipt, an error that `take` would raise, or one for which `take` should be asked again: then
        it is our fault.
        """
        assert self._begin_storing is not None

        def forget_if_stored(outcome: Receipt | Exception) -> None:
            if isinstance(outcome, Receipt) and not self._stuck.is_empty:
                self._stuck.forget(batch_name(sender.namespace, body))
            done(outcome)

        try:
            return self._begin_storing(self._decoded(body, encoding, sender), forget_if_stored)
        except (ReceiveError, StoreUnavailable) as error:
            if is_our_fault(error):
                return False
            done(error)
            return True
        except Exception:  # noqa: BLE001 - `take` meets it again, and knows what to do
            return False

    def store_crashing_request(self, sender: SenderIdentity, ids: bytes = b"") -> Receipt:
        """Store a request that crashes its worker as one dead letter. Raises as `take`.

        `ids` are the bytes of its trace id and span id; empty for a whole request.
        """
        trace_id, span_id = ids[:_TRACE_ID_BYTES], ids[_TRACE_ID_BYTES:]
        letter = DeadLetter(reason="our_fault", detail=_CRASHED_WORKER, trace_id=trace_id, span_id=span_id)
        return self._store_abandoned([letter], sender)

    def _decoded(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> DecodedRequest:
        received_at_unix_ns = self._now_unix_ns()
        with self._decoders:
            return decode(body, encoding, sender, received_at_unix_ns=received_at_unix_ns, limits=self.limits)

    def _after_our_fault(
        self, error: Exception, body: bytes, encoding: Encoding, request: DecodedRequest | None, sender: SenderIdentity
    ) -> Receipt:
        batch = batch_name(sender.namespace, body)
        _LOG.error("our fault, batch %s: %s", batch.hex()[:12], _detail_of(error))
        if not self._stuck.is_given_up(batch):
            raise Overloaded("something went wrong on our side; try again") from error
        pieces = pieces_of(body, encoding)
        if pieces:
            receipt = self._taken_in_parts(pieces, encoding, sender)
        else:
            receipt = self._store_abandoned(list(_dead_letters(error, request)), sender)
        self._stuck.forget(batch)
        _LOG.error("batch %s kept failing: %d of its spans are dead letters now", batch.hex()[:12], receipt.dead_letter)
        return receipt

    def _taken_in_parts(self, pieces: list[Piece], encoding: Encoding, sender: SenderIdentity) -> Receipt:
        """Take the spans that can be taken and store the others as dead letters."""
        dead_letters: list[DeadLetter] = []

        def take(part: Sequence[Piece]) -> Receipt:
            request: DecodedRequest | None = None
            try:
                request = self._decoded(joined(part, encoding), encoding, sender)
                return self._store(request)
            except Exception as error:
                if len(part) == 1 and _may_blame(error):
                    keeps_payload = len(dead_letters) < _STRIPPED_SPANS_MAX
                    dead_letters.extend(_dead_letters(error, request, part[0], keeps_payload=keeps_payload))
                raise

        receipts, _ = taken_in_parts(pieces, take, _may_blame)
        if dead_letters:
            receipts.append(self._store_abandoned(dead_letters, sender))
        return sum_of(receipts)

    def _store_abandoned(self, dead_letters: list[DeadLetter], sender: SenderIdentity) -> Receipt:
        request = DecodedRequest(
            namespace=sender.namespace,
            tenant_is_trusted=sender.tenant_is_trusted,
            received_at_unix_ns=self._now_unix_ns(),
            dead_letters=dead_letters,
        )
        try:
            return self._store_dead_letters(request)
        except (ReceiveError, StoreUnavailable):
            raise
        except Exception as second:
            _LOG.error("a given-up batch could not be kept either: %s", place_of(second))
            raise Overloaded("something went wrong on our side; try again") from second


def place_of(error: BaseException) -> str:
    """Return the kind of an error and where it was raised, without its text: that may quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(error).__name__} at {place}"


def _detail_of(error: Exception) -> str:
    """Return an error in one line that quotes no span: the text only of one that we made."""
    return str(error) if isinstance(error, CallfareError) else place_of(error)


def is_our_fault(error: Exception) -> bool:
    """Return whether an error is neither the sender's mistake nor bound to pass."""
    return isinstance(error, StoreFault) or not isinstance(error, ReceiveError | StoreUnavailable)


def _may_blame(error: Exception) -> bool:
    """Return whether an error may be due to the one span that is tried: also where it alone is refused for good."""
    return is_our_fault(error) or (isinstance(error, ReceiveError) and not isinstance(error, Overloaded))


def _dead_letters(
    error: Exception, request: DecodedRequest | None, piece: Piece | None = None, *, keeps_payload: bool = True
) -> Iterator[DeadLetter]:
    detail = _detail_of(error)
    if request is None:
        ids = (b"", b"") if piece is None else (piece.trace_id, piece.span_id)
        detail = f"{detail}; it could not be decoded"
        yield DeadLetter(reason="our_fault", detail=detail, trace_id=ids[0], span_id=ids[1])
        return
    yield from request.dead_letters
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                kept = dead_letter_of(span, scope.scope, resource.resource, reason="our_fault", detail=detail)
                yield kept if keeps_payload else replace(kept, payload=b"")
