"""Send what waits in an outbox to a backend, until it has been taken: spans by OTLP, or events to PostHog.

Runs in a thread of its own, so a slow or absent backend delays nothing but itself. Spans are deleted from the
outbox in the transaction that claimed them, after the backend took them; a crash in between sends them again under
the same ids, which Jaeger and PostHog recognise. A span that a backend refuses permanently, alone and not as part of a
batch, or that waited longer than the bound, is dropped, counted and logged.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from cost_exporter.forward.answers import Taken
from cost_exporter.read.otlp.otlp_bytes import halves_of

__all__ = ["Busy", "Claim", "Outbox", "RefusedForGood", "Sender", "Transport", "single_requests"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
RETRY_SECONDS_MAX = 30.0
WAIT_SECONDS_MAX = 3600.0
"""However long a backend wants to be left alone."""
MAX_AGE = timedelta(hours=48)


class RefusedForGood(Exception):
    """The backend will never take these spans."""


class Busy(ConnectionError):
    """The backend wants to be left alone for a time."""

    def __init__(self, message: str, *, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


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

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        max_age: timedelta = MAX_AGE,
        halve: Callable[[Sequence[bytes]], Sequence[Sequence[bytes]]] | None = None,
        backend: str = "forward endpoint",
        what: str = "spans",
    ) -> None:
        """`halve` parts requests in two, by default the spans of one OTLP request too; the last two are for the log."""
        self._outbox = outbox
        self._transport = transport
        self._max_age = max_age
        self._halve = halve or _halves
        self._backend, self._what = backend, what
        self._last_warning = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"callfare-{backend.split(maxsplit=1)[0]}", daemon=True)

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
            halves = self._halve(requests)
            if not halves:
                logger.warning("dropped one of the %s, which the %s refuses: %s", self._what, self._backend, refusal)
                return 1
            return sum(self._send(half) for half in halves)
        self._report_what_was_rejected(taken)
        return taken.rejected_count

    def _report_what_was_rejected(self, taken: Taken) -> None:
        """Log a partial success. What was rejected must not be sent again (OTLP), and is not known by name."""
        if taken.rejected_count:
            text = "dropped %d %s that the %s rejects: %s"
            logger.warning(text, taken.rejected_count, self._what, self._backend, taken.reason)
        elif taken.reason and taken.reason != self._last_warning:
            self._last_warning = taken.reason
            logger.info("the %s took all %s and warns: %s", self._backend, self._what, taken.reason)

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
                if isinstance(error, Busy):
                    pause_seconds = max(pause_seconds, min(error.wait_seconds, WAIT_SECONDS_MAX))
                if failures == 1:
                    logger.warning("%s does not take %s, they wait in the outbox: %s", self._backend, self._what, error)
                self._give_up_the_old()
            self._stopping.wait(pause_seconds)

    def _report_recovery(self, failures: int) -> None:
        if failures:
            logger.info("%s takes %s again after %d failed attempts", self._backend, self._what, failures)

    def _give_up_the_old(self) -> None:
        try:
            count = self._outbox.give_up_older_than(self._max_age)
        except Exception:  # noqa: BLE001 - the database is away too; there is nothing to bound then
            return
        if count:
            text = "dropped %d %s that waited longer than %s for the %s"
            logger.error(text, count, self._what, self._max_age, self._backend)


def single_requests(requests: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """Return two halves of requests that are one thing each; none where it is just one."""
    middle = len(requests) // 2
    return [requests[:middle], requests[middle:]] if middle else []


def _halves(requests: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """Return two with half of the spans each; none where it is just one span."""
    if len(requests) > 1:
        middle = len(requests) // 2
        return requests[:middle], requests[middle:]
    halves = halves_of(requests[0])
    return [[half] for half in halves] if len(halves) > 1 else []
