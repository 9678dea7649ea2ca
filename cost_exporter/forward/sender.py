"""Send what waits in the outbox to an OTLP backend, until it has been taken.

Runs in a thread of its own, so a slow or absent backend delays nothing but itself. Spans are deleted from the
outbox in the transaction that claimed them, after the backend took them; a crash in between sends the same
bytes again, which Jaeger recognises. What a backend refuses for good, alone and not as part of a batch, or
what waited longer than the bound, is given up, counted and logged.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.forward.outgoing import export_request

__all__ = ["Claim", "Outbox", "RefusedForGood", "Sender", "Transport"]

logger = logging.getLogger(__name__)

BATCH_SPANS = 500
IDLE_SECONDS = 0.5
RETRY_SECONDS_MAX = 30.0
MAX_AGE = timedelta(hours=48)


class RefusedForGood(Exception):
    """The backend will never take these spans."""


class Transport(Protocol):
    """How a request reaches the backend."""

    def send(self, request: bytes) -> None:
        """Return when taken. Raises `RefusedForGood`, or anything else where it is worth trying again."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Claim(Protocol):
    """Spans held for sending; what is neither done nor given up by the end of the claim stays in the outbox."""

    spans: Sequence[OutgoingSpan]

    def done(self, positions: Sequence[int]) -> None:
        """Delete these spans: the backend has them."""
        ...

    def give_up(self, positions: Sequence[int]) -> None:
        """Delete these spans and count them as given up."""
        ...


class Outbox(Protocol):
    """Where spans wait."""

    def claim(self, limit: int) -> AbstractContextManager[Claim]:
        """Hold up to `limit` spans, oldest first, that no other sender holds."""
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

    def drain_once(self) -> int:
        """Send one batch; return how many spans left the outbox. Raises where the backend could not be reached."""
        with self._outbox.claim(BATCH_SPANS) as claim:
            if claim.spans:
                self._send(claim, range(len(claim.spans)))
            return len(claim.spans)

    def _send(self, claim: Claim, positions: Sequence[int]) -> None:
        """Send, and where a batch is refused for good find the spans that are to blame by halving it."""
        try:
            self._transport.send(export_request(claim.spans[position] for position in positions))
        except RefusedForGood as refusal:
            if len(positions) == 1:
                logger.warning("gave up a span that the forward endpoint refuses: %s", refusal)
                claim.give_up(positions)
                return
            middle = len(positions) // 2
            self._send(claim, positions[:middle])
            self._send(claim, positions[middle:])
        else:
            claim.done(positions)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                sent = self.drain_once()
                self._report_recovery(failures)
                failures = 0
                pause_seconds = 0.0 if sent == BATCH_SPANS else IDLE_SECONDS
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
            logger.error("gave up %d spans that waited longer than %s for the forward endpoint", count, self._max_age)
