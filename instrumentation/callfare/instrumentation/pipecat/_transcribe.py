"""Wrappers of Pipecat's recognisers: one session per service, of the audio that goes out.

Pipecat counts the audio that a service is given, also while there is no connection. So each piece is counted where it
is sent, and left out where the service has no connection or reports an error. Where the connection cannot be observed,
the figure is the audio that the service was given, and `estimated`.

A vendor's span may describe the same audio. Where its connection is made in `setup` or `start`, that span is seen
before the first report; where each segment is a request, only after it, because Pipecat reports a segment before it
sends it. So whether our span is billed is decided again at every report, after every request, and at close.
"""

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Offer, gate_in, with_offer
from callfare.calls.running import first_part, offer_by_framework
from callfare.calls.session import Session
from callfare.calls.span import watch_calls
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.pipecat._drive import in_context, replace_method
from callfare.instrumentation.pipecat._usage import (
    audio_seconds,
    connection_of,
    is_connected,
    is_segmented,
    request_of,
    seconds_of,
)

__all__ = ["stt_cleanup", "stt_init"]

_WATCH = "_callfare_ear"
_OPERATION = "speech_to_text"


class _BillableWatch:
    """The state of a recogniser: its session, and the context that it works in as long as it lives."""

    def __init__(self) -> None:
        self.outer = context_api.get_current()
        """The context from before the watch: our own session must not pass for a vendor's."""
        self.inner, self._seen = watch_calls(self.outer)
        self.session: Session | None = None
        self.recorded: deque[Decimal] = deque()
        """Seconds of each piece of audio that Pipecat has counted, and that is not known to have gone out."""
        self.connection: object = None
        """The one that audio was last sent by."""
        self.counts_itself = False
        """Whether Pipecat lets us count each piece; its reports then add nothing."""
        self.offer: Offer | None = None
        """What the budgets hold for audio of which the session does not know yet."""

    def open_session(self, tracer: Tracer, service: Any) -> Session:
        """Return the session; open one where there is none."""
        if self.session is None or not self.session.is_open:
            # Where each piece is a request, a vendor's span of the first one is seen only after it: see `keep`.
            is_held = _OPERATION not in self._seen and not is_segmented(service)
            request = request_of(service, _OPERATION)
            self.session = Session.open(tracer, request, context=self.outer, is_held=is_held, offer=self.offer)
        self.mark_not_billable()
        return self.session

    def ask(self, service: Any, seconds: Decimal | None) -> None:
        """Reserve for what is about to be sent, an interval where its length is not known. Raises `BudgetExceeded`."""
        if gate_in(self.outer) is None:
            return
        request = replace(request_of(service, _OPERATION), meter=names.AUDIO_INPUT_SECONDS)
        known = first_part(request) if not seconds else replace(request, quantities={request.meter: seconds})
        self.offer = offer_by_framework(known, self.inner)
        if self.session is not None and self.session.is_open and not is_segmented(service):
            self.give_back()  # it connects again, and holds an interval already

    def keep(self) -> None:
        """Let the session hold what was reserved for a piece, unless a vendor's span was seen."""
        if self.session is not None and _OPERATION not in self._seen:
            self.session.keep(self.offer)
        self.give_back()

    def give_back(self) -> None:
        """Give back what nobody took."""
        offer, self.offer = self.offer, None
        if offer is not None:
            offer.give_back()

    def mark_not_billable(self) -> None:
        """Leave the bill to the vendor's span, if there is one."""
        if self.session is not None and _OPERATION in self._seen:
            self.session.set(names.USAGE_BILLABLE, value=False)


def _watch_of(service: Any) -> _BillableWatch:
    watch: _BillableWatch | None = getattr(service, _WATCH, None)
    if watch is None:
        watch = _BillableWatch()
        setattr(service, _WATCH, watch)
    return watch


def stt_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `STTService.__init__`: what it connects, starts and sends is watched for a vendor's spans.

    Its report as well is the object's: Pipecat's tracing keeps in every class the one it found as it was defined.
    """

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        replace_method(instance, "_record_stt_audio_usage", lambda record: _recording(tracer, instance, record))
        replace_method(instance, "start_stt_usage_metrics", lambda report: _reporting(tracer, instance, report))
        replace_method(instance, "run_stt", lambda run: _listening_generator(tracer, instance, run))
        for connects in ("setup", "start"):
            replace_method(instance, connects, lambda method: _listening_call(instance, method))
        replace_method(instance, "_connect", lambda method: _connecting_call(instance, method))

    return wrapper


def _recording(tracer: Tracer, service: Any, record: Any) -> Any:
    def record_stt_audio_usage(audio: Any, *args: Any, **kwargs: Any) -> Any:
        _count(tracer, service, len(audio))
        return record(audio, *args, **kwargs)

    return record_stt_audio_usage


@quietly
def _count(tracer: Tracer, service: Any, byte_count: int) -> None:
    """Pipecat counts a piece before `run_stt` gets it; silence, which keeps a socket open, once it has gone out."""
    if service.sample_rate > 0:
        watch = _watch_of(service)
        watch.counts_itself = True
        if not is_segmented(service):
            _went_out(tracer, service, watch)
        watch.recorded.append(seconds_of(byte_count, service.sample_rate))


def _went_out(tracer: Tracer, service: Any, watch: _BillableWatch) -> Decimal:
    """Bill the piece that was counted first, and return its seconds."""
    if not watch.recorded:
        return Decimal(0)
    seconds = watch.recorded.popleft()
    watch.open_session(tracer, service).add_seconds(seconds)
    return seconds


def _reporting(tracer: Tracer, service: Any, report: Any) -> Any:
    async def start_stt_usage_metrics(*args: Any, **kwargs: Any) -> Any:
        _count_usage(tracer, service, args[0] if args else kwargs.get("usage"))
        return await report(*args, **kwargs)

    return start_stt_usage_metrics


@quietly
def _count_usage(tracer: Tracer, service: Any, usage: Any) -> None:
    watch = _watch_of(service)
    if not watch.counts_itself:
        session = watch.open_session(tracer, service)
        session.source = "estimated"
        session.add_seconds(audio_seconds(usage))


def _listening_generator(tracer: Tracer, service: Any, run: Any) -> Any:
    async def run_stt(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        if is_segmented(service):
            _ask_for_piece(service)
        sent = _begin_sending(tracer, service)
        source = run(*args, **kwargs)
        try:
            async for frame in in_context(source, _inner_context(service)):
                if type(frame).__name__ == "ErrorFrame":
                    sent = _take_back(service, sent)
                yield frame
        finally:
            _has_asked(service, sent)
            await source.aclose()

    return run_stt


@quietly
def _begin_sending(tracer: Tracer, service: Any) -> Decimal:
    """Bill the piece that is being sent, unless there is no connection to send it by."""
    watch = _watch_of(service)
    is_up = is_connected(service)
    if is_up is False:
        if watch.recorded:
            watch.recorded.popleft()
        return Decimal(0)
    connection, before = connection_of(service), watch.connection
    watch.connection = connection or before
    seconds = _went_out(tracer, service, watch)
    was_lost = before is not None and connection is not before  # and what was on its way then
    if (is_up is None or was_lost) and watch.session is not None:
        watch.session.source = "estimated"
    return seconds


@quietly
def _take_back(service: Any, seconds: Decimal | None) -> Decimal:
    """Take a piece back that the vendor did not accept."""
    session = _watch_of(service).session
    if seconds and session is not None:
        session.take_back(names.AUDIO_INPUT_SECONDS, seconds)
    return Decimal(0)


def _listening_call(service: Any, method: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        context = _inner_context(service)
        token = context_api.attach(context) if context is not None else None
        try:
            return await method(*args, **kwargs)
        finally:
            if token is not None:
                context_api.detach(token)

    return call


def _connecting_call(service: Any, method: Any) -> Any:
    """Ask the budgets before a recogniser connects.

    One that is refused does not, and is what Pipecat calls unusable: it gets no audio, the application gets the error
    as that of any service that cannot work, and the rest of the pipeline goes on.
    """
    connect = _listening_call(service, method)

    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            _watch_of(service).ask(service, None)
        except Exception as error:  # noqa: BLE001 - `BudgetExceeded`, which Pipecat has its own way to report
            await service.push_error(str(error), exception=error, force_treat_as_permanent=True)
            return None
        return await connect(*args, **kwargs)

    return call


def _ask_for_piece(service: Any) -> None:
    """Reserve for the piece that is sent next. Raises `BudgetExceeded`, which Pipecat reports as an error."""
    watch = _watch_of(service)
    try:
        watch.ask(service, watch.recorded[0] if watch.recorded else None)
    except Exception:
        if watch.recorded:
            watch.recorded.popleft()  # it stays here
        raise


@quietly
def _inner_context(service: Any) -> Context:
    watch = _watch_of(service)
    return watch.inner if watch.offer is None else with_offer(watch.offer, watch.inner)


@quietly
def _has_asked(service: Any, seconds: Decimal | None) -> None:
    if is_connected(service) is False:
        _take_back(service, seconds)
    watch = _watch_of(service)
    watch.mark_not_billable()
    if is_segmented(service):
        watch.keep()


def stt_cleanup(tracer: Tracer) -> Wrapper:
    """Wrapper of `STTService.cleanup`, which closes the session after Pipecat's own last report."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await wrapped(*args, **kwargs)
        finally:
            _goodbye(tracer, instance)

    return wrapper


@quietly
def _goodbye(tracer: Tracer, service: Any) -> None:
    watch = _watch_of(service)
    watch.give_back()
    if not is_segmented(service):
        _went_out(tracer, service, watch)
    if watch.session is not None:
        watch.mark_not_billable()
        watch.session.close()
