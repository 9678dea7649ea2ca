"""Send what waits in the outbox to an OTLP backend, until it has been taken.

Runs in a thread of its own, so a slow or absent backend delays nothing but itself. Spans are deleted from the
outbox in the transaction that claimed them, after the backend took them; a crash in between sends the same
bytes again, which Jaeger recognises. A span that a backend refuses permanently, alone and not as part of a batch, or
that waited longer than the bound, is dropped, counted and logged.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from cost_exporter.forward.answers import Taken
from cost_exporter.read.otlp.otlp_bytes import halves_of

__all__ = ["Claim", "Outbox", "RefusedForGood", "Sender", "Transport"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
RETRY_SECONDS_MAX = 30.0
MAX_AGE = timedelta(hours=48)


class RefusedForGood(Exception):
    """The backend will never take these spans."""


class Transport(Protocol):
    """How a request reaches the backend."""

    def send(self, request: bytes) -> Taken:
        """Return what was taken. Raises `RefusedForGood`, or anything else where it is worth trying again."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Claim(Protocol):
    """Spans held for sending; all of them stay in the outbox unless the claim is done."""

    requests: Sequence[bytes]
    """Each an ExportTraceServiceRequest with spans of one resource and scope; joined they are one request."""
    span_count: int
    is_full: bool
    """Whether more may wait than one claim holds."""

    def done(self, *, given_up_count: int = 0) -> None:
        """Delete these spans: the backend has them, except `given_up_count`, which are counted as dropped."""
        ...


class Outbox(Protocol):
    """Where spans wait."""

    def claim(self) -> AbstractContextManager[Claim]:
        """Hold as many spans as one request may carry, oldest first, that no other sender holds."""
        ...

    def give_up_older_than(self, age: timedelta) -> int:
        """Drop and count what waited too long; return how many."""
        ...


class Sender:
    """Drains an outbox until it is stopped."""

    def __init__(self, outbox: Outbox, transport: Transport, *, max_age: timedelta = MAX_AGE) -> None:
        self._outbox = outbox
        self._transport = transport
        self._max_age = max_age
        self._last_warning = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callfare-forward", daemon=True)

    def start(self) -> None:
        """Start sending in the background."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """Stop after the batch under way; what is left stays in the outbox."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._transport.close()

    def drain_once(self) -> Claim:
        """Send one claim and return it, its spans gone. Raises where the backend could not be reached."""
        with self._outbox.claim() as claim:
            if claim.requests:
                # A receiver that claims to reject more than it was sent cannot raise the count above what there was.
                claim.done(given_up_count=min(self._send(claim.requests), claim.span_count))
            return claim

    def _send(self, requests: Sequence[bytes]) -> int:
        """Send all as one request; if it is refused permanently, find the spans that caused it by halving.

        Returns how many spans were dropped.
        """
        try:
            taken = self._transport.send(b"".join(requests))
        except RefusedForGood as refusal:
            halves = _halves(requests)
            if not halves:
                logger.warning("dropped a span that the forward endpoint refuses: %s", refusal)
                return 1
            return sum(self._send(half) for half in halves)
        self._report_what_was_rejected(taken)
        return taken.rejected_count

    def _report_what_was_rejected(self, taken: Taken) -> None:
        """Log a partial success. What was rejected must not be sent again (OTLP), and is not known by name."""
        if taken.rejected_count:
            logger.warning("dropped %d spans that the forward endpoint rejects: %s", taken.rejected_count, taken.reason)
        elif taken.reason and taken.reason != self._last_warning:
            self._last_warning = taken.reason
            logger.info("the forward endpoint took all spans and warns: %s", taken.reason)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                claim = self.drain_once()
                self._report_recovery(failures)
                failures = 0
                pause_seconds = 0.0 if claim.is_full else IDLE_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end forwarding
                failures += 1
                pause_seconds = min(RETRY_SECONDS_MAX, 2.0 ** min(failures, 5) / 2)
                if failures == 1:
                    logger.warning("forward endpoint does not take spans, they wait in the outbox: %s", error)
                self._give_up_the_old()
            self._stopping.wait(pause_seconds)

    def _report_recovery(self, failures: int) -> None:
        if failures:
            logger.info("forward endpoint takes spans again after %d failed attempts", failures)

    def _give_up_the_old(self) -> None:
        try:
            count = self._outbox.give_up_older_than(self._max_age)
        except Exception:  # noqa: BLE001 - the database is away too; there is nothing to bound then
            return
        if count:
            logger.error("dropped %d spans that waited longer than %s for the forward endpoint", count, self._max_age)


def _halves(requests: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """Return two with half of the spans each; none where it is just one span."""
    if len(requests) > 1:
        middle = len(requests) // 2
        return requests[:middle], requests[middle:]
    halves = halves_of(requests[0])
    return [[half] for half in halves] if len(halves) > 1 else []
