"""One paid call as one span: opened when the request goes out, finished exactly once.

In: what the request says (`CallRequest`) and, as they become known, quantities. Out: a span with every quantity of
the call and where each came from. The rule that must never break: a call is finished once, whatever ends it
(end, error, close, cancellation, garbage collection), and nothing in here raises into the application.

A call ends in one of three ways:
- `end()`        the answer is complete;
- `interrupt()`  the application stopped early (barge-in, closed generator, cancelled task): what was sent is
                 billed in full, so the quantities of the request stay;
- `fail(error)`  the vendor or the network failed. Before any output, an HTTP status >= 400 or a connection that
                 never came about marks the span `callfare.call.refused`: the vendor did no work. A time-out or a
                 break after the first output is no refusal: the vendor bills those.
"""

import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from callfare import attributes as names
from callfare import environment
from callfare.account import AccountedContext, account_of
from callfare.calls import producer
from callfare.calls.admission import Hold, gate_in
from callfare.calls.failure import describe_error, is_refusal
from callfare.guard import quietly

__all__ = [
    "Amount",
    "AttributeValue",
    "CallRequest",
    "CallSpan",
    "Seen",
    "call_seen",
    "forget_open_calls",
    "interrupt_open_calls",
    "is_call_seen",
    "is_inside_call",
    "open_call",
    "seen_of",
    "sum_of",
    "watch_calls",
]

Amount = int | Decimal | float
AttributeValue = str | bool | int | float | tuple[str, ...]

_INSIDE = context_api.create_key("callfare-inside-call")
_WATCH = context_api.create_key("callfare-watch-calls")
_NO_PROVIDERS: frozenset[str] = frozenset()
_INTEGERS = frozenset(
    {
        names.INPUT_CHARACTERS, names.AUDIO_CHANNELS, names.INPUT_TOKENS, names.OUTPUT_TOKENS,
        names.CACHE_READ_TOKENS, names.CACHE_WRITE_TOKENS, names.REASONING_TOKENS, names.INPUT_AUDIO_TOKENS,
        names.OUTPUT_AUDIO_TOKENS, names.CACHE_AUDIO_READ_TOKENS, names.INPUT_IMAGE_TOKENS,
        names.OUTPUT_IMAGE_TOKENS, names.SESSION_SEQUENCE, names.REQUEST_ATTEMPTS,
    }
)  # fmt: skip
"""Quantities that are whole numbers; all others are doubles, whatever Python type they were counted in."""
_SIMPLE = frozenset({str, bool, int, float})
"""Types of which the SDK takes every value as it is. What a vendor answers may turn out to be anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A paid call before it goes out."""

    operation: str
    """`text_to_speech`, `speech_to_text`, `phone_call`, `chat`, ..."""
    provider: str
    model: str = ""
    quantities: Mapping[str, Amount] = field(default_factory=dict[str, Amount])
    """Attribute name to amount, as far as the request itself gives it: characters sent, seconds of a file."""
    source: str = "request"
    """Where those quantities come from; see `gen_ai.usage.source`."""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    """Anything else: voice, stream, language. Never a text, a transcript, audio or a telephone number."""
    meter: str = ""
    """Of a connection that stays open: the attribute of the seconds that it is billed by. Empty for other calls."""
    channels: int = 1
    """How many times each of these seconds is billed."""


class CallSpan:
    """An open call. Safe to use from several threads; every method is quiet."""

    __slots__ = (
        "__weakref__", "_attributes", "_estimates", "_hold", "_inside", "_is_finished", "_lock", "_quantities", "_span",
        "has_output", "is_streaming", "source",
    )  # fmt: skip

    def __init__(self, span: Span, request: CallRequest, inside: Context, hold: Hold | None = None) -> None:
        """`hold` is the budget's money for this call: settled as it finishes, released if it never does."""
        self._span = span
        self._hold = hold
        self._inside = inside
        self._attributes: dict[str, AttributeValue] = {}
        self._quantities = dict(request.quantities)
        self._estimates: dict[str, Amount] = {}
        self._lock = threading.Lock()
        self._is_finished = False
        self.source = request.source
        self.is_streaming = False
        """Set it where the answer arrives in pieces: leaving before `end()` is then an interruption."""
        self.has_output = False
        """Set it at the first byte or event of the answer: from here on a failure is billed."""
        key = id(self)
        _open_calls[key] = weakref.ref(self, lambda _: _collected(key, hold))

    @property
    def span(self) -> Span:
        """The OpenTelemetry span below."""
        return self._span

    @property
    def is_finished(self) -> bool:
        """Whether the call has ended."""
        return self._is_finished

    @quietly
    def set(self, name: str, value: AttributeValue | None) -> None:
        """State an attribute; None and the empty string leave it out. It reaches the span when the call ends."""
        if value is None or value == "":
            return
        if type(value) in _SIMPLE:
            with self._lock:
                if not self._is_finished:
                    self._attributes[name] = value
        else:
            self._span.set_attribute(name, value)  # at once: what cannot be written must not cost us the rest

    def add(self, name: str, amount: Amount) -> None:
        """Add to a quantity. Cheap: it reaches the span when the call ends."""
        with self._lock:
            self._quantities[name] = sum_of(self._quantities.get(name, 0), amount)

    def replace(self, name: str, amount: Amount | None, *, source: str = "") -> None:
        """Replace a quantity, for example by the vendor's own count; None changes nothing."""
        if amount is None:
            return
        with self._lock:
            self._quantities[name] = amount
            self.source = source or self.source

    def raise_hold(self, name: str, amount: Amount) -> None:
        """Reserve for what is about to be added. Raises `BudgetExceeded` where a hard budget refuses it."""
        if self._hold is not None:
            self._hold.raise_to({**self._quantities, name: sum_of(self._quantities.get(name, 0), amount)})

    def hand_over(self) -> Hold | None:
        """Return what the budgets hold for this call: the one it begins goes on, and settles it."""
        hold, self._hold = self._hold, None
        return hold

    def estimate(self, name: str, amount: Amount) -> None:
        """State the usage of a call that is interrupted before its usage arrives: marked as estimated then."""
        with self._lock:
            self._estimates[name] = amount

    def content(self, name: str, text: str) -> None:
        """Put a text or transcript on the span, only where CALLFARE_CAPTURE_CONTENT allows it."""
        if environment.captures_content():
            self.set(f"callfare.content.{name}", text)

    def context(self) -> Context:
        """Context for the time the request is being sent: the span is current, nested calls are not counted."""
        return trace.set_span_in_context(self._span, self._inside)

    def end(self) -> None:
        """Finish: the answer is complete."""
        self._finish({})

    def interrupt(self) -> None:
        """Finish: the application stopped listening. What was sent stays billed."""
        with self._lock:
            if self._estimates and not self._quantities:
                self._quantities.update(self._estimates)
                self.source = "estimated"
        self._finish({names.FINISH_REASONS: ("interrupted",)})

    def fail(self, error: BaseException, *, is_refused: bool = False) -> None:
        """Finish: the vendor or the network failed. The error itself is the caller's to raise.

        `is_refused` where the vendor documents that this error costs nothing, whatever it looks like.
        """
        described = _failure(error, has_output=self.has_output)
        self._finish({**described, names.CALL_REFUSED: True} if is_refused else described, has_failed=True)

    @quietly
    def _finish(self, last: Mapping[str, AttributeValue], *, has_failed: bool = False) -> None:
        with self._lock:
            if self._is_finished:
                return
            self._is_finished = True
            _open_calls.pop(id(self), None)
            stated = self._attributes
            for name, amount in self._quantities.items():
                stated[name] = int(amount) if name in _INTEGERS else float(amount)
        stated[names.USAGE_SOURCE] = self.source if self._quantities else "unknown"
        stated.update(last)
        if self._hold is not None:
            self._hold.settle(stated)  # before anything of the SDK, which may fail
            if reservation_id := self._hold.reservation_id:  # another one than at the start, where the call outgrew it
                stated[names.BUDGET_RESERVATION_ID] = reservation_id
        stated.update(producer.next_stamp())
        self._span.set_attributes(stated)  # all at once: each call of the SDK costs as much as two attributes
        if has_failed:
            # No description: a vendor's message may quote the text that was sent.
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def forget(self) -> None:
        """Never finish: the call is another process's to record."""
        self._is_finished = True
        if self._hold is not None:
            self._hold.release()


_open_calls: dict[int, weakref.ref[CallSpan]] = {}
"""By `id`. A plain dict, because adding, removing and listing it are each atomic."""


def _collected(key: int, hold: Hold | None) -> None:
    """Nobody finished the call, and nobody can any more: there is no span that says what it used."""
    _open_calls.pop(key, None)
    if hold is not None:
        hold.release()


def _each_open_call() -> Iterator[CallSpan]:
    for reference in list(_open_calls.values()):
        call = reference()
        if call is not None:
            yield call


def interrupt_open_calls() -> None:
    """The process is about to exit: what was sent is billed, answered or not."""
    for call in _each_open_call():
        call.interrupt()


def forget_open_calls() -> None:
    """In a forked child: calls under way are the parent's, which records them."""
    for call in _each_open_call():
        call.forget()
    _open_calls.clear()


def open_call(
    tracer: Tracer,
    request: CallRequest,
    *,
    context: Context | None = None,
    start_time_unix_ns: int | None = None,
    hold: Hold | None = None,
) -> CallSpan:
    """Open the span of a paid call. Never raises: at worst the call returned records nothing.

    `hold` is what the budgets reserved for it. A call that nobody asked them about, because it is under way already,
    is counted in them when it ends.
    The current context is looked up once, here: everybody below would look again, for a microsecond each.
    """
    within = context_api.get_current() if context is None else context
    providers = _providers_inside(within) | {request.provider}
    inside = AccountedContext({**within, _INSIDE: providers}, account_of(within))
    if hold is None and (gate := gate_in(within)) is not None:
        hold = gate.count(request, within)
    reservation_id = "" if hold is None else hold.reservation_id
    span = _start(tracer, request, inside, start_time_unix_ns, reservation_id) or trace.INVALID_SPAN
    call_seen(request.operation, within)
    return CallSpan(span, request, inside, hold)


@quietly
def _start(
    tracer: Tracer,
    request: CallRequest,
    context: AccountedContext,
    start_time_unix_ns: int | None,
    reservation_id: str,
) -> Span:
    attributes: dict[str, AttributeValue] = {
        **context.account,  # here rather than by the processor: the SDK takes more for a second writing
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: request.provider,
        **{name: value for name, value in request.attributes.items() if value != ""},
    }
    if request.model:
        attributes[names.REQUEST_MODEL] = request.model
    if reservation_id:
        attributes[names.BUDGET_RESERVATION_ID] = reservation_id
    title = f"{request.operation} {request.model}" if request.model else request.operation
    return tracer.start_span(
        title, context=context, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_time_unix_ns
    )


def is_inside_call(provider: str, context: Context | None = None) -> bool:
    """Whether a call to this provider is just being sent: its inner layers must not count it again.

    True as well where OpenTelemetry's own suppression is on.
    """
    within = context_api.get_current() if context is None else context
    if context_api.get_value("suppress_instrumentation", within):
        return True
    return provider in _providers_inside(within)


def _providers_inside(context: Context) -> frozenset[str]:
    value = context_api.get_value(_INSIDE, context)
    return value if isinstance(value, frozenset) else _NO_PROVIDERS


class Seen(set[str]):
    """Operations of the paid calls below a framework's span that a vendor's span reports."""


def watch_calls(context: Context | None = None) -> tuple[Context, Seen]:
    """A context, and a set that gets the operation of every paid call below it that some span reports.

    A framework's span uses it to learn whether a vendor's instrumentor saw the same call. Our own spans count as they
    start, because they always end; another instrumentation's as they end.
    """
    seen = Seen()
    return context_api.set_value(_WATCH, seen, context), seen


def seen_of(context: Context | None = None) -> Seen | None:
    """The calls seen by the framework's span above, if there is one."""
    seen = context_api.get_value(_WATCH, context)
    return seen if isinstance(seen, Seen) else None


def call_seen(operation: str, context: Context | None = None) -> None:
    """Note for the framework span above, if there is one, that a vendor's span describes this operation."""
    seen = seen_of(context)
    if seen is not None:
        seen.add(operation)


def is_call_seen(operation: str, context: Context | None = None) -> bool:
    """Whether a span reports that operation below the framework span that watches here."""
    seen = seen_of(context)
    return seen is not None and operation in seen


def sum_of(before: Amount, amount: Amount) -> Amount:
    """The exact sum of two amounts, whatever Python types they were counted in."""
    if isinstance(before, float) or isinstance(amount, float):
        return Decimal(str(before)) + Decimal(str(amount))
    return before + amount


def _failure(error: BaseException, *, has_output: bool) -> dict[str, AttributeValue]:
    described: dict[str, AttributeValue] = dict(describe_error(error))
    if not has_output and is_refusal(error):
        described[names.CALL_REFUSED] = True
    return described
