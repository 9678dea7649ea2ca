"""Long sockets report in deltas: a crash loses one interval, and the vendor's total corrects the sum."""

import gc
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from callfare import attributes as names
from callfare.calls.session import Clock, Reporter, Session
from callfare.calls.span import CallRequest, open_call

D = Decimal
RATE = 32_000
REQUEST = CallRequest(operation="speech_to_text", provider="deepgram", model="nova-3")


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    @property
    def clock(self) -> Clock:
        return Clock(unix_ns=lambda: int(self.seconds * 1_000_000_000), monotonic_seconds=lambda: self.seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def reporter(time) -> Reporter:
    return Reporter(time.clock, has_thread=False)


def opened(spans, reporter, channels=1, **options) -> Session:
    tracer = spans.provider.get_tracer("test")
    request = replace(REQUEST, channels=channels)
    return Session.open(tracer, request, bytes_per_second=RATE, reporter=reporter, **options)


def listen(session: Session, reporter: Reporter, time: Time, seconds: int) -> None:
    """One second of audio every second, and the timer's due."""
    for _ in range(seconds):
        session.add_audio(RATE)
        time.seconds += 1
        reporter.tick()


def test_a_crash_after_90_seconds_has_60_on_record(spans, reporter, time) -> None:
    """What was reported before the process died is safe: 60 of the 90 seconds."""
    session = opened(spans, reporter)
    listen(session, reporter, time, 90)
    session.is_open = False  # SIGKILL: nothing of ours runs any more
    found = spans.only
    assert found[names.AUDIO_INPUT_SECONDS] == 60.0
    assert (found[names.SESSION_SEQUENCE], found[names.SESSION_STATE]) == (1, "ongoing")
    assert spans.all[0].start_time == 1_000 * 1_000_000_000
    assert spans.all[0].end_time is not None


def test_deltas_add_up_to_what_was_sent(spans, reporter, time) -> None:
    """150 seconds are three spans of 60, 60 and 30, numbered, in a row."""
    session = opened(spans, reporter, channels=2, session_id="s-1")
    listen(session, reporter, time, 150)
    session.close()
    assert [found[names.AUDIO_INPUT_SECONDS] for found in spans.attributes] == [60.0, 60.0, 30.0]
    assert [found[names.SESSION_SEQUENCE] for found in spans.attributes] == [1, 2, 3]
    assert [found[names.SESSION_STATE] for found in spans.attributes] == ["ongoing", "ongoing", "closed"]
    assert spans.total(names.SESSION_SECONDS) == 150
    assert {(found[names.SESSION_ID], found[names.AUDIO_CHANNELS]) for found in spans.attributes} == {("s-1", 2)}


@pytest.mark.parametrize(("total", "last"), [("91.5", "31.5"), ("60", "0"), ("55", "0")])
def test_the_vendors_total_settles_the_last_delta(spans, reporter, time, total, last) -> None:
    """The last delta is what the total leaves over, never negative; the total travels beside it."""
    session = opened(spans, reporter)
    listen(session, reporter, time, 90)
    session.close(vendor_total_seconds=D(total), response_id="r-1")
    closing = spans.attributes[-1]
    assert closing[names.AUDIO_INPUT_SECONDS] == float(last)
    assert closing[names.SESSION_VENDOR_TOTAL_SECONDS] == float(total)
    assert closing[names.USAGE_SOURCE] == "vendor_body"
    assert closing[names.RESPONSE_ID] == "r-1"


def test_an_idle_socket_writes_nothing(spans, reporter, time) -> None:
    """Ten idle minutes are no rows, and their open time is told with the next audio."""
    session = opened(spans, reporter)
    time.seconds += 600
    reporter.tick()
    assert spans.all == ()
    listen(session, reporter, time, 60)
    session.close()
    assert spans.total(names.SESSION_SECONDS) == 660
    assert spans.total(names.AUDIO_INPUT_SECONDS) == 60


def test_a_socket_billed_while_silent_reports_all_the_same(spans, reporter, time) -> None:
    """Where the open socket is the meter, silence is usage."""
    session = opened(spans, reporter, is_metered_when_silent=True)
    time.seconds += 61
    reporter.tick()
    assert spans.only[names.SESSION_SECONDS] == 61.0
    session.close()


def test_zero_seconds_means_only_at_the_close(spans, reporter, time, monkeypatch) -> None:
    """CALLFARE_STT_REPORT_SECONDS=0."""
    monkeypatch.setenv("CALLFARE_STT_REPORT_SECONDS", "0")
    session = opened(spans, reporter)
    listen(session, reporter, time, 300)
    assert spans.all == ()
    session.close()
    assert spans.only[names.AUDIO_INPUT_SECONDS] == 300.0


def test_a_session_nobody_holds_is_lost_not_forgotten(spans, reporter, time) -> None:
    """Garbage collection ends it with what it heard."""
    session = opened(spans, reporter)
    session.add_audio(RATE * 5)
    del session
    gc.collect()
    assert (spans.only[names.AUDIO_INPUT_SECONDS], spans.only[names.SESSION_STATE]) == (5.0, "lost")


def test_the_exit_of_the_process_ends_open_sessions(spans, reporter, time) -> None:
    """`flush` is what exit and SIGTERM call; a later close adds nothing."""
    session = opened(spans, reporter)
    session.add_audio(RATE * 5)
    reporter.flush()
    session.close()
    assert (spans.only[names.AUDIO_INPUT_SECONDS], spans.only[names.SESSION_STATE]) == (5.0, "lost")


def test_a_broken_connection_keeps_what_was_heard(spans, reporter, time) -> None:
    """An error after audio is no refusal."""
    session = opened(spans, reporter)
    session.add_audio(RATE * 5)
    session.fail(ConnectionRefusedError())
    assert spans.only[names.ERROR_TYPE] == "ConnectionRefusedError"
    assert names.CALL_REFUSED not in spans.only
    assert spans.only[names.AUDIO_INPUT_SECONDS] == 5.0


def test_a_forked_child_reports_nothing_of_its_parent(spans, reporter, time) -> None:
    """The socket is the parent's; the child's copy stays silent."""
    session = opened(spans, reporter)
    session.add_audio(RATE)
    reporter.after_fork()
    session.close()
    reporter.flush()
    assert spans.all == ()


def test_deltas_belong_to_the_context_of_the_opening(spans, reporter, time) -> None:
    """The parent is the span that was current when the socket opened, whoever reports."""
    with spans.provider.get_tracer("test").start_as_current_span("call") as parent:
        session = opened(spans, reporter)
    session.add_audio(RATE)
    session.close()
    assert spans.all[-1].parent is not None
    assert spans.all[-1].parent.span_id == parent.get_span_context().span_id


def test_deltas_of_a_socket_opened_outside_of_any_span_are_one_trace(spans, reporter, time) -> None:
    """The first one is the root: an hour's listening is one workflow, and no sixty."""
    session = opened(spans, reporter)
    listen(session, reporter, time, 150)
    session.close(vendor_total_seconds=150)
    root, *others = spans.all
    assert root.parent is None
    assert [each.parent.span_id for each in others] == [root.context.span_id] * 2
    assert {each.context.trace_id for each in others} == {root.context.trace_id}


def test_one_thread_reports_for_all_sockets_and_a_call_needs_none(spans) -> None:
    """However many calls and sockets are open, they add one thread."""
    tracer, before = spans.provider.get_tracer("test"), set(threading.enumerate())
    calls = [open_call(tracer, REQUEST) for _ in range(50)]
    assert set(threading.enumerate()) <= before  # one of another test may have ended meanwhile
    sessions = [Session.open(tracer, REQUEST, bytes_per_second=RATE) for _ in range(50)]
    assert sum(thread.name == "callfare-sessions" for thread in threading.enumerate()) == 1
    for call in calls:
        call.end()
    for session in sessions:
        session.close()
