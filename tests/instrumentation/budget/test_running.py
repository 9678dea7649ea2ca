"""Calls that go on under a budget: sockets reserve by the report interval, extend what they hold, and settle it."""

import contextvars
import gc
import queue
from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from callfare import BudgetExceeded, budget
from callfare import attributes as names
from callfare.calls.running import opening
from callfare.calls.session import Clock, Reporter, Session
from callfare.calls.span import CallRequest
from tests.support.recording import Recorded

PATIENCE_SECONDS = 60
RATE = 32_000
PRICES = """
inherit: list
prices:
  - {provider: deepgram, model: nova-3, unit: audio_seconds, price: "0.60", per: "60", multiplier: channels,
     valid_from: 2020-01-01}
"""
REQUEST = CallRequest(operation="speech_to_text", provider="deepgram", model="nova-3")
REPORTS = {names.SESSION_STATE: "ongoing"}


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.reporter = Reporter(
            Clock(unix_ns=lambda: int(self.seconds * 1e9), monotonic_seconds=lambda: self.seconds), has_thread=False
        )

    def opened(self, spans: Recorded, request: CallRequest = REQUEST, **given: Any) -> Session:
        tracer = spans.provider.get_tracer("test")
        return Session.open(tracer, request, bytes_per_second=RATE, reporter=self.reporter, **given)

    def listen(self, session: Session, seconds: int) -> None:
        """One second of audio every second, and the timer's due."""
        for _ in range(seconds):
            session.add_audio(RATE)
            self.seconds += 1
            self.reporter.tick()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(autouse=True)
def cent_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "running.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


def amounts(money: Any) -> tuple[D, D]:
    return money.spent_usd, money.reserved_usd


def test_a_socket_holds_an_interval_and_extends_it(spans: Recorded, time: Time) -> None:
    """60 cents a minute: a minute ahead is reserved at any time, and what was reported is spent."""
    with budget("5") as money:
        session = time.opened(spans)
        assert amounts(money) == (0, D("0.60"))
        time.listen(session, 59)
        assert amounts(money) == (0, D("0.60"))
        time.listen(session, 1)
        assert amounts(money) == (D("0.60"), D("0.60"))
        time.listen(session, 90)
        assert amounts(money) == (D("1.20"), D("0.60"))
        session.close()
        assert amounts(money) == (D("1.50"), 0)
    assert len(spans.all) == 3


def test_each_billed_channel_is_held(spans: Recorded, time: Time) -> None:
    """Two channels take twice the money, before and after."""
    with budget("5") as money:
        session = time.opened(spans, replace(REQUEST, channels=2))
        assert amounts(money) == (0, D("1.20"))
        time.listen(session, 60)
        assert amounts(money) == (D("1.20"), D("1.20"))
        session.close()
        assert amounts(money) == (D("1.20"), 0)


def test_the_interval_is_the_one_that_is_reported_by(
    spans: Recorded, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CALLFARE_STT_REPORT_SECONDS; 0 reports at the end alone, and a minute is held until then."""
    monkeypatch.setenv("CALLFARE_STT_REPORT_SECONDS", "5")
    with budget("5") as money:
        session = time.opened(spans)
        assert amounts(money) == (0, D("0.05"))
        time.listen(session, 5)
        assert amounts(money) == (D("0.05"), D("0.05"))
        session.close()
    monkeypatch.setenv("CALLFARE_STT_REPORT_SECONDS", "0")
    with budget("5") as money:
        session = time.opened(spans)
        time.listen(session, 300)
        assert amounts(money) == (0, D("0.60"))
        session.close()
        assert amounts(money) == (D("3.00"), 0)


def test_the_vendors_total_decides(spans: Recorded, time: Time) -> None:
    """What it leaves over of the parts is the last part, and no part is given back."""
    with budget("5") as money:
        session = time.opened(spans)
        time.listen(session, 90)
        session.close(vendor_total_seconds=D("91.5"))
        assert amounts(money) == (D("0.915"), 0)


@pytest.mark.parametrize("how", ["close", "fail", "lost", "collected", "forked"])
def test_a_socket_is_settled_however_it_ends(spans: Recorded, time: Time, how: str) -> None:
    """In order, broken, at exit or with the last reference; a child gives back what is its parent's."""
    with budget("5") as money:
        session = time.opened(spans)
        time.listen(session, 61)
        if how == "fail":
            session.fail(OSError("gone"))
        elif how == "collected":
            del session
            gc.collect()
        elif how == "forked":
            time.reporter.after_fork()
        else:
            getattr(session, how)()
        assert amounts(money) == (D("0.60") if how == "forked" else D("0.61"), 0)


def test_what_does_not_fit_any_more_calls_back_and_the_socket_goes_on(
    spans: Recorded, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    """In a thread of its own, in the socket's context, at each report; nothing is cut but by the application."""
    called: queue.Queue[BudgetExceeded] = queue.Queue()
    with (
        spans.provider.get_tracer("test").start_as_current_span("call") as span,
        budget("1.50", on_exceeded=called.put) as money,
    ):
        session = time.opened(spans)
        time.listen(session, 60)  # 0.60 spent and 0.60 ahead: fits
        assert called.empty()
        time.listen(session, 60)
        error = called.get(timeout=PATIENCE_SECONDS)
        assert (error.reason, error.spent_usd, error.estimate_usd) == ("exceeded", D("0.60"), D("0.60"))
        assert amounts(money) == (D("1.20"), D("0.60"))
        time.listen(session, 60)
        assert called.get(timeout=PATIENCE_SECONDS).spent_usd == D("1.20")
        with pytest.raises(BudgetExceeded), money.reserve("0.01"):
            pass
        session.close()
        assert amounts(money) == (D("1.80"), 0)
    events = [event.name for event in span.events]  # type: ignore[attr-defined]
    assert events == ["callfare.budget.exceeded"] * 2 + ["callfare.budget.refused"]
    lines = [line for line in caplog.messages if "the call goes on" in line]
    assert len(lines) == 1
    assert "spent 0.6, reserved 0.6 of 1.5 USD" in lines[0]


def test_a_socket_that_is_open_already_is_held_and_not_refused(spans: Recorded, time: Time) -> None:
    """A framework's own: nobody asked the budgets before it connected."""
    called: queue.Queue[BudgetExceeded] = queue.Queue()
    with budget("0.50", on_exceeded=called.put) as money:
        session = time.opened(spans)
        assert amounts(money) == (0, D("0.60"))
        assert called.get(timeout=PATIENCE_SECONDS).estimate_usd == D("0.60")
        session.close()
        assert amounts(money) == (0, 0)


def test_a_report_whose_cost_is_not_all_known_keeps_what_was_held(spans: Recorded, time: Time) -> None:
    """The rest of its estimate stays reserved beside what comes next."""
    with budget("5") as money:
        session = time.opened(spans)
        session.set(names.PAID_EXTRAS, "of-no-price")
        time.seconds += 30
        time.listen(session, 30)
        assert amounts(money) == (D("0.30"), D("0.30") + D("0.60"))
        session.close()


def test_a_session_that_another_one_is_billed_by_holds_nothing(spans: Recorded, time: Time) -> None:
    """A framework's beside its vendor's."""
    with budget("5") as money:
        session = time.opened(spans)
        session.set(names.USAGE_BILLABLE, value=False)
        time.listen(session, 60)
        assert amounts(money) == (0, 0)
        time.opened(spans, is_held=False)
        assert amounts(money) == (0, 0)
        session.close()
        assert amounts(money) == (0, 0)


def test_what_an_opening_gave_back_is_nobodys(spans: Recorded, time: Time) -> None:
    """A task that was made while the connection opened has its context, and opens one itself afterwards."""
    with budget("5") as money:
        with opening(replace(REQUEST, meter=names.AUDIO_INPUT_SECONDS)):
            made_inside = contextvars.copy_context()
        assert amounts(money) == (0, 0)
        session = made_inside.run(time.opened, spans)
        assert amounts(money) == (0, D("0.60"))
        session.close()


def test_what_is_not_billed_is_not_counted_without_a_hold_either(spans: Recorded, time: Time) -> None:
    """A framework's session that never held anything, because its vendor's was there first."""
    with budget("5") as money:
        session = time.opened(spans, is_held=False)
        session.set(names.USAGE_BILLABLE, value=False)
        time.listen(session, 60)
        session.close()
        assert amounts(money) == (0, 0)
