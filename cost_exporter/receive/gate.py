"""From the bytes of one admitted request to its receipt, the same for every transport.

A sender's mistake is refused for good; what passes is refused for the moment. An exception that nobody expected
is our fault: the sender is told to try again, and after a bounded time the batch becomes dead letters instead.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cost_exporter.domain.facts import DeadLetter, Receipt
from cost_exporter.errors import Overloaded, ReceiveError, StoreUnavailable
from cost_exporter.read.decoded import DecodedRequest
from cost_exporter.read.strip import strip_content
from cost_exporter.receive.bounds import Limits
from cost_exporter.receive.decode import Encoding, Sender, decode
from cost_exporter.receive.ingest import Ingest
from cost_exporter.receive.stuck import StuckBatches, batch_name

__all__ = ["Gate", "place_of"]

_LOG = logging.getLogger(__name__)
_DECODERS: Final = 2
"""Decoding holds the interpreter: more at a time would only hold more memory."""
_DEADLY: Final = "the worker ended each time; the request was not decoded"
_STRIPPED_SPANS_MAX: Final = 10_000
"""So many spans of a given-up batch keep their payload; beyond that they are only counted."""


class Gate:
    """Decodes and ingests. Thread-safe; all receivers share one."""

    def __init__(
        self,
        ingest: Ingest,
        *,
        limits: Limits | None = None,
        stuck: StuckBatches | None = None,
        bury: Ingest | None = None,
        now_unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`bury` stores a given-up batch, which holds dead letters only; by default it is ingested like any other."""
        self.limits = limits or Limits()
        self._ingest = ingest
        self._bury = bury or ingest
        self._stuck = stuck or StuckBatches()
        self._now_unix_ns = now_unix_ns
        self._decoders = threading.BoundedSemaphore(_DECODERS)

    def take(self, body: bytes, encoding: Encoding, sender: Sender) -> Receipt:
        """Return what became of the request, after COMMIT. Raises only `ReceiveError` and `StoreUnavailable`."""
        request: DecodedRequest | None = None
        try:
            request = self._decoded(body, encoding, sender)
            return self._ingest(request)
        except (ReceiveError, StoreUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender must not lose its batch for it
            return self._after_our_fault(error, body, request, sender)

    def give_up(self, sender: Sender) -> Receipt:
        """Bury a request that nobody dares to look at again, as one dead letter. Raises as `take`."""
        return self._buried([DeadLetter(reason="our_fault", detail=_DEADLY)], sender)

    def _decoded(self, body: bytes, encoding: Encoding, sender: Sender) -> DecodedRequest:
        received_at_unix_ns = self._now_unix_ns()
        with self._decoders:
            return decode(body, encoding, sender, received_at_unix_ns=received_at_unix_ns, limits=self.limits)

    def _after_our_fault(
        self, error: Exception, body: bytes, request: DecodedRequest | None, sender: Sender
    ) -> Receipt:
        batch = batch_name(sender.namespace, body)
        _LOG.error("our fault, batch %s: %s", batch.hex()[:12], place_of(error))
        if not self._stuck.is_given_up(batch):
            raise Overloaded("something went wrong on our side; try again") from error
        receipt = self._buried(list(_dead_letters(error, request)), sender)
        self._stuck.forget(batch)
        _LOG.error("batch %s is given up: its spans are dead letters now", batch.hex()[:12])
        return receipt

    def _buried(self, dead_letters: list[DeadLetter], sender: Sender) -> Receipt:
        buried = DecodedRequest(
            namespace=sender.namespace,
            tenant_is_trusted=sender.tenant_is_trusted,
            received_at_unix_ns=self._now_unix_ns(),
            dead_letters=dead_letters,
        )
        try:
            return self._bury(buried)
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


def _dead_letters(error: Exception, request: DecodedRequest | None) -> Iterator[DeadLetter]:
    detail = place_of(error)
    if request is None:
        yield DeadLetter(reason="our_fault", detail=f"{detail}; the request could not be decoded")
        return
    yield from request.dead_letters
    kept_count = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                kept_count += 1
                payload = strip_content(span, scope=scope.scope, resource=resource.resource)
                yield DeadLetter(
                    reason="our_fault",
                    detail=detail,
                    trace_id=span.trace_id[:16],
                    span_id=span.span_id[:8],
                    payload=payload if kept_count <= _STRIPPED_SPANS_MAX else b"",
                )
