"""Long sockets: usage reported in deltas while they are open, so that a crash loses one interval and no more.

A streaming recogniser listens for as long as a call lasts. Holding its usage on one open span would lose all of
it in a crash, so a session writes a span every CALLFARE_STT_REPORT_SECONDS (the audio since the last one, as
`ongoing`) and a last one when it ends. (session id, sequence) identifies each, so re-delivery is harmless and a
gap is visible. One timer thread serves all sessions of the process.

    session = Session.open(tracer, request, bytes_per_second=32_000)     # when the socket is open
    session.add_audio(len(chunk))           # every send; cheap
    session.add_seconds(Decimal("0.02"))    # or seconds, if bytes do not give the duration
    session.close(vendor_total_seconds=metadata.duration, response_id="...")         # the vendor closed it
    session.lost()                          # ended without a close (garbage collection, exit)
    session.fail(error)                     # broke off

The context of the moment of `open` is the parent of every delta; where there is no span in it, the first delta
is that of the others. The last delta is what the vendor's total leaves over, never below zero; the total itself
travels beside it and corrects the sum (rule 9).
Seconds are seconds of audio; `channels` is a separate attribute, multiplied once, at pricing. A reconnect continues
the same Session: neither the id nor the counter starts again.
"""

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Protocol, Self

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare import environment
from callfare.calls.admission import Hold, Offer, take_offered
from callfare.calls.running import PartOfHold, ahead_of, follow, interval_seconds
from callfare.calls.span import Amount, AttributeValue, CallRequest, CallSpan, call_seen, open_call, sum_of
from callfare.guard import quietly

__all__ = ["Clock", "Reported", "Reporter", "Session", "reporter"]

ONGOING, CLOSED, LOST = "ongoing", "closed", "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The two clocks a session reads; tests bring their own."""

    unix_ns: Callable[[], int] = time.time_ns
    monotonic_seconds: Callable[[], float] = time.monotonic


class Session:
    """One socket's usage, from its opening to its close."""

    def __init__(
        self,
        tracer: Tracer,
        request: CallRequest,
        context: Context,
        *,
        bytes_per_second: int | None,
        is_metered_when_silent: bool,
        session_id: str,
        reporter: "Reporter",
        hold: Hold | None,
    ) -> None:
        """Use `Session.open`, which also registers the session with the reporter."""
        self.session_id = session_id
        self.is_open = True
        self.source = "client"
        """Where the quantities come from, for every span from here on; see `gen_ai.usage.source`."""
        self._tracer = tracer
        self._request = request
        self._context = context
        self._bytes_per_second = bytes_per_second
        self._channels = request.channels
        self._is_metered_when_silent = is_metered_when_silent
        self._meter = request.meter
        self._hold = hold
        self._reporter = reporter
        self._lock = threading.Lock()
        self._pending_bytes = 0
        self._pending: dict[str, Amount] = {}
        self._reported_seconds = Decimal(0)
        self._sequence = 0
        self._attributes: dict[str, AttributeValue] = {}
        self._span_started_at_unix_ns = reporter.clock.unix_ns()
        self._reported_at_seconds = reporter.clock.monotonic_seconds()

    @classmethod
    def open(
        cls,
        tracer: Tracer,
        request: CallRequest,
        *,
        bytes_per_second: int | None = None,
        is_metered_when_silent: bool = False,
        session_id: str = "",
        context: Context | None = None,
        reporter: "Reporter | None" = None,
        is_held: bool = True,
        offer: Offer | None = None,
    ) -> Self:
        """Begin a session; `is_metered_when_silent` where the vendor bills the open socket, not the audio.

        The request's meter, seconds of audio where it has none, is what the vendor's total is about. For seconds of
        session count no audio beside them: the service corrects audio where there is any. `is_held` is False where
        another session holds the budgets' money for the same audio. `offer` is what was reserved for this session
        where its context does not have that.
        """
        reporter = reporter or _reporter
        within = context if context is not None else context_api.get_current()
        request = replace(request, meter=request.meter or names.AUDIO_INPUT_SECONDS)
        hold = None
        if is_held:
            offered = None if offer is None else offer.take()
            hold = offered or take_offered(context_api.get_current()) or follow(request, within)
        session = cls(
            tracer,
            request,
            within,
            bytes_per_second=bytes_per_second,
            is_metered_when_silent=is_metered_when_silent,
            session_id=session_id or uuid.uuid4().hex,
            reporter=reporter,
            hold=hold,
        )
        reporter.watch(session)
        call_seen(request.operation, session._context)
        return session

    def add_audio(self, byte_count: int) -> None:
        """Count audio bytes that were sent, silence included; keep-alive messages are not audio."""
        with self._lock:
            self._pending_bytes += byte_count

    def add_seconds(self, seconds: Decimal) -> None:
        """Count audio whose length is known in seconds."""
        self.add(names.AUDIO_INPUT_SECONDS, seconds)

    def add(self, name: str, amount: Amount) -> None:
        """Add to any other quantity of the interval."""
        with self._lock:
            self._pending[name] = sum_of(self._pending.get(name, 0), amount)

    def take_back(self, name: str, amount: Amount) -> None:
        """Take from the interval what was added and then not sent, at most what has not been reported yet."""
        with self._lock:
            pending = self._pending.get(name, 0)
            self._pending[name] = max(sum_of(pending, -amount), type(pending)(0))

    def set(self, name: str, value: AttributeValue) -> None:
        """Set an attribute of every span from here on: a model or request id that the vendor reported."""
        with self._lock:
            self._attributes[name] = value

    def keep(self, offer: Offer | None) -> None:
        """Hold what was reserved for this session, unless something is held already."""
        with self._lock:
            if offer is not None and self.is_open and self._hold is None:
                self._hold = offer.take()

    @quietly
    def report(self) -> None:
        """Write the usage since the last report; nothing if there was none."""
        with self._lock:
            if not self.is_open:
                return
            quantities = self._take()
            has_usage = any(amount for name, amount in quantities.items() if name != names.SESSION_SECONDS)
            if not has_usage and not self._is_metered_when_silent:
                self._pending = quantities
                return
            call = self._next_span(ONGOING, quantities)
        call.end()

    def close(
        self, *, vendor_total_seconds: Decimal | float | None = None, channels: int | None = None, response_id: str = ""
    ) -> None:
        """End with the vendor's close and, if it states one, its total of audio seconds."""
        call = self._finish(CLOSED, _exact(vendor_total_seconds), channels)
        if call is not None:
            call.set(names.RESPONSE_ID, response_id)
            call.end()

    def fail(self, error: BaseException) -> None:
        """End because the connection broke. What was sent last may not have arrived: it is an estimate."""
        call = self._finish(LOST, None, None)
        if call is not None:
            call.source = "estimated"
            call.has_output = True  # the vendor received what was sent
            call.fail(error)

    def lost(self) -> None:
        """End without a close: the process exits, or nothing refers to the socket any more."""
        call = self._finish(LOST, None, None)
        if call is not None:
            call.end()

    def forget(self) -> None:
        """Never end: the socket is another process's."""
        self.is_open = False
        if self._hold is not None:
            self._hold.release()

    def __del__(self) -> None:
        if self.is_open:
            self.lost()

    @quietly
    def _finish(self, state: str, total: Decimal | None, channels: int | None) -> CallSpan | None:
        self._reporter.forget(self)
        with self._lock:
            if not self.is_open:
                return None
            self.is_open = False
            self._channels = channels or self._channels
            quantities = self._take()
            if total is not None:
                quantities[self._meter] = max(Decimal(0), total - self._reported_seconds)
            call = self._next_span(state, quantities)
            if total is not None:
                call.replace(names.SESSION_VENDOR_TOTAL_SECONDS, total, source="vendor_body")
            return call

    def _take(self) -> dict[str, Amount]:
        """Return the quantities gathered so far; the lock is held."""
        quantities, self._pending = self._pending, {}
        if self._bytes_per_second:
            seconds = Decimal(self._pending_bytes) / self._bytes_per_second
            quantities[names.AUDIO_INPUT_SECONDS] = sum_of(quantities.get(names.AUDIO_INPUT_SECONDS, 0), seconds)
            self._pending_bytes = 0
        now = self._reporter.clock.monotonic_seconds()
        quantities[names.SESSION_SECONDS] = sum_of(
            quantities.get(names.SESSION_SECONDS, 0), _milliseconds(now - self._reported_at_seconds)
        )
        self._reported_at_seconds = now
        return quantities

    def _next_span(self, state: str, quantities: Mapping[str, Amount]) -> CallSpan:
        """The span of the interval that ends now; the lock is held."""
        self._sequence += 1
        self._reported_seconds += _exact(quantities.get(self._meter, 0)) or Decimal(0)
        request = CallRequest(
            operation=self._request.operation,
            provider=self._request.provider,
            model=self._request.model,
            source=self.source,
            quantities={**quantities, names.AUDIO_CHANNELS: self._channels},
            attributes={
                **self._request.attributes,
                **self._attributes,
                names.SESSION_ID: self.session_id,
                names.SESSION_SEQUENCE: self._sequence,
                names.SESSION_STATE: state,
            },
        )
        started_at, self._span_started_at_unix_ns = self._span_started_at_unix_ns, self._reporter.clock.unix_ns()
        hold = None if self._hold is None else self._part_of(self._hold, request, goes_on=state == ONGOING)
        call = open_call(self._tracer, request, context=self._context, start_time_unix_ns=started_at, hold=hold)
        if self._sequence == 1:
            self._keep_in_one_trace(call)
        return call

    def _part_of(self, hold: Hold, request: CallRequest, *, goes_on: bool) -> Hold:
        """What this span settles; where the session goes on, it holds what it uses until the next one."""
        if not goes_on:
            return PartOfHold(hold, request, hold.settle)
        ahead = ahead_of(replace(self._request, channels=self._channels), interval_seconds())
        return PartOfHold(hold, request, partial(hold.extend, ahead))

    def _keep_in_one_trace(self, first: CallSpan) -> None:
        """Without a parent each delta would begin a trace, a minute long: the first one becomes that of the others."""
        span_context = first.span.get_span_context()
        if span_context.is_valid and not trace.get_current_span(self._context).get_span_context().is_valid:
            self._context = trace.set_span_in_context(trace.NonRecordingSpan(span_context), self._context)


class Reported(Protocol):
    """What reports while it goes on: a session, a telephone call."""

    def report(self) -> None:
        """An interval is over."""
        ...

    def lost(self) -> None:
        """The process is about to exit."""
        ...

    def forget(self) -> None:
        """It is another process's."""
        ...


class Reporter:
    """Makes every open session report in time. One daemon thread for all, started with the first session."""

    def __init__(self, clock: Clock | None = None, *, has_thread: bool = True) -> None:
        """Tests pass their clock and no thread, and call `tick()`."""
        self.clock = clock or Clock()
        self._has_thread = has_thread
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._due_at_seconds: dict[int, tuple[float, weakref.ref[Reported]]] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, session: Reported) -> None:
        """Report for this session from now on."""
        interval = environment.report_seconds()
        key = id(session)
        gone = weakref.ref(session, lambda _: self._drop(key))
        due_at = self.clock.monotonic_seconds() + interval if interval else float("inf")
        with self._lock:
            self._due_at_seconds[key] = (due_at, gone)
            needs_thread = self._has_thread and self._thread is None and interval > 0
            if needs_thread:
                self._thread = threading.Thread(target=self._run, name="callfare-sessions", daemon=True)
        if needs_thread and self._thread is not None:
            self._thread.start()
        self._wake.set()

    def forget(self, session: Reported) -> None:
        """The session has ended."""
        self._drop(id(session))

    def _drop(self, key: int) -> None:
        self._due_at_seconds.pop(key, None)  # atomic; a weakref callback must not wait for a lock

    def tick(self) -> None:
        """Let every session report whose time has come."""
        now, interval = self.clock.monotonic_seconds(), environment.report_seconds()
        with self._lock:
            due = [(key, ref) for key, (at, ref) in list(self._due_at_seconds.items()) if at <= now]
            for key, ref in due:
                self._due_at_seconds[key] = (now + interval if interval else float("inf"), ref)
        for _, ref in due:
            session = ref()
            if session is not None:
                session.report()

    def flush(self) -> None:
        """End every open session as lost: the process is about to exit."""
        for _, ref in list(self._due_at_seconds.values()):
            session = ref()
            if session is not None:
                session.lost()

    def after_fork(self) -> None:
        """In a child: the sockets, and the duty to report them, are the parent's."""
        for _, ref in list(self._due_at_seconds.values()):
            session = ref()
            if session is not None:
                session.forget()
        self._renew()

    def _run(self) -> None:
        context_api.attach(Context())  # the thread outlives the request that started it
        while True:
            self._wake.wait(timeout=self._seconds_until_due())
            self._wake.clear()
            self.tick()

    def _seconds_until_due(self) -> float | None:
        first = min((at for at, _ in list(self._due_at_seconds.values())), default=float("inf"))
        return None if first == float("inf") else max(0.0, first - self.clock.monotonic_seconds())


_reporter = Reporter()


def reporter() -> Reporter:
    """The reporter of this process."""
    return _reporter


def _exact(amount: Amount | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))


def _milliseconds(seconds: float) -> Decimal:
    """A duration cut to whole milliseconds: monotonic noise beyond is no measurement."""
    return Decimal(round(seconds * 1000)) / 1000
