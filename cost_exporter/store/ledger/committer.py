"""Group commit: many requests, one transaction.

Requests wait in one bounded queue. Each writer takes everything that has gathered, up to a size that commits
quickly, stores it in one transaction and gives every request its own receipt. The busier it gets the larger the
groups, and the cheaper each request: a commit costs a disk flush whatever its size. So little is not committed beside
another commit, and waits a few milliseconds for company after one (`linger.py`).

When the queue is full a request waits for a moment and is then refused as `Overloaded`: memory stays bounded.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.domain.settling.settle import Price
from cost_exporter.errors import Overloaded, StoreFault, StoreUnavailable
from cost_exporter.store.ledger.linger import Linger

__all__ = ["Committer", "Store"]

GROUP_SPANS_MAX: Final = 4096
QUEUED_SPANS_MAX: Final = 65_536
WRITERS: Final = 2
"""One settles while the other one waits for the database."""
QUEUE_WAIT_SECONDS_MAX: Final = 2.0
_WORTH_A_COMMIT_SPANS: Final = 512
"""As much as this is committed at once, whatever else is under way."""
_OTHER_COMMIT_SECONDS_MAX: Final = 0.1
"""A commit beside which others wait no longer: it may wait for a lock itself."""


class Store(Protocol):
    """The interface of the store for a writer; each writer has its own."""

    def commit(self, batches: list[Facts], price: Price, /) -> list[Receipt]:
        """Store the batches in one transaction and return their receipts after COMMIT."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@dataclass(slots=True)
class _Ticket:
    """One waiting request, and what became of it."""

    facts: Facts
    span_count: int
    done: Callable[[Receipt | Exception], object]
    """Called once, as a rule by a writer: it must not wait for another commit."""


class Committer:
    """Takes requests from many threads and stores them in groups. Close it to drain."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        price: Price,
        *,
        writers: int = WRITERS,
        observe_seconds: Callable[[float], None] | None = None,
    ) -> None:
        """Start the writers. `observe_seconds` gets the duration of each commit."""
        self._price = price
        self._observe_seconds = observe_seconds
        self._changed = threading.Condition()
        self._queue: deque[_Ticket] = deque()
        self._queued_spans = 0
        self._is_closing = False
        self._linger = Linger()
        self._commits_begun_at_seconds: dict[int, float] = {}
        """Of the commits under way, by the thread of their writer."""
        self._threads = [
            threading.Thread(target=self._write, args=(open_store(),), name=f"callfare-writer-{number}", daemon=True)
            for number in range(writers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, facts: Facts) -> Receipt:
        """Store the facts durably and return after COMMIT.

        Raises `Overloaded` when the queue stays full, `StoreUnavailable` when the database cannot take them: in
        both cases nothing was stored, or what was stored will be recognised when it is sent again.
        """
        outcome = Future[Receipt]()
        self._enqueue(_ticket(facts, lambda result: _settle(outcome, result)))
        return outcome.result()

    def begin(self, facts: Facts, done: Callable[[Receipt | Exception], object]) -> bool:
        """Begin to store the facts; `done` gets what `submit` returns or raises. False, and no more, without room.

        `done` is called by a writer, and must not wait for another commit.
        """
        ticket = _ticket(facts, done)
        with self._changed:
            if self._is_closing or not self._has_room(ticket):
                return False
            self._queue.append(ticket)
            self._queued_spans += ticket.span_count
            self._changed.notify_all()
        return True

    def close(self, *, timeout_seconds: float = 20.0) -> None:
        """Store what is queued, refuse what comes later, and stop the writers."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        # Whatever a stuck writer left in the queue: its sender must not wait for ever.
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
        for ticket in left:
            ticket.done(StoreUnavailable("the service is shutting down"))

    # ------------------------------------------------------------------------------------------------ the queue

    def _enqueue(self, ticket: _Ticket) -> None:
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._is_closing or self._has_room(ticket), QUEUE_WAIT_SECONDS_MAX
            )
            if self._is_closing:
                raise StoreUnavailable("the service is shutting down")
            if not has_room:
                raise Overloaded("too many spans wait for the database; try again")
            self._queue.append(ticket)
            self._queued_spans += ticket.span_count
            self._changed.notify_all()

    def _has_room(self, ticket: _Ticket) -> bool:
        return not self._queue or self._queued_spans + ticket.span_count <= QUEUED_SPANS_MAX

    def _next_group(self) -> list[_Ticket]:
        """Return everything that has gathered, up to the size of a group; nothing once closed and drained."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                wait_seconds = self._wait_seconds(time.monotonic())
                if wait_seconds <= 0:
                    break
                self._changed.wait(wait_seconds)
            group: list[_Ticket] = []
            spans = 0
            while self._queue and (not group or spans + self._queue[0].span_count <= GROUP_SPANS_MAX):
                ticket = self._queue.popleft()
                spans += ticket.span_count
                group.append(ticket)
            self._queued_spans -= spans
            if group:
                now_seconds = time.monotonic()
                self._linger.begin(len(group), now_seconds)
                self._commits_begun_at_seconds[threading.get_ident()] = now_seconds
            self._changed.notify_all()
            return group

    def _wait_seconds(self, now_seconds: float) -> float:
        """Return for how long what is queued should wait before it is committed."""
        if self._is_closing or self._queued_spans >= _WORTH_A_COMMIT_SPANS:
            return 0.0
        if self._commits_begun_at_seconds:
            began_at_seconds = max(self._commits_begun_at_seconds.values())
            other_seconds = began_at_seconds + _OTHER_COMMIT_SECONDS_MAX - now_seconds
            if other_seconds > 0:
                return other_seconds  # its end comes first, as a rule, and wakes us
        return self._linger.seconds(len(self._queue), now_seconds)

    # ---------------------------------------------------------------------------------------------- the writers

    def _write(self, store: Store) -> None:
        try:
            while group := self._next_group():
                self._commit(store, group)
                with self._changed:
                    del self._commits_begun_at_seconds[threading.get_ident()]
                    self._changed.notify_all()
        finally:
            store.close()

    def _commit(self, store: Store, group: list[_Ticket]) -> None:
        """Commit a group and answer each request. Every request gets an answer, whatever fails.

        The duration is reported before the answers: a caller with an answer expects no further effect of its request.
        """
        started = time.perf_counter()
        try:
            outcome = store.commit([ticket.facts for ticket in group], self._price)
        except StoreUnavailable as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - the writer must live; the senders try again, for a bounded time
            outcome = StoreFault(f"unexpected {type(error).__name__} while storing")
        if self._observe_seconds is not None:
            self._observe_seconds(time.perf_counter() - started)
        if isinstance(outcome, StoreFault) and len(group) > 1:
            for ticket in group:  # only alone can a request show that it is the cause
                self._commit(store, [ticket])
            return
        if isinstance(outcome, StoreUnavailable):
            for ticket in group:
                ticket.done(outcome)
            return
        for ticket, receipt in zip(group, outcome, strict=True):
            ticket.done(receipt)


def _ticket(facts: Facts, done: Callable[[Receipt | Exception], object]) -> _Ticket:
    return _Ticket(facts, max(1, len(facts.calls) + len(facts.links) + len(facts.dead_letters)), done)


def _settle(outcome: "Future[Receipt]", result: Receipt | Exception) -> None:
    if isinstance(result, Exception):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)
