"""Telephone calls under a budget, by Twilio's real SDK: held by the minute while they go on, settled by their end."""

from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callfare import BudgetExceeded, budget
from callfare.calls import session
from callfare.calls.running import follow
from callfare.instrumentation.twilio import TwilioInstrumentor, _legs, _running, bind_call, record_call_status
from callfare.instrumentation.twilio._usage import request_of_inbound
from tests.instrumentation.budget.test_running import Time
from tests.instrumentation.fakes.twilio import ACCOUNT, FakeTwilio
from tests.support.recording import Recorded

PLACED = {"to": "+15550006789", "from_": "+15550001234", "url": "http://example.test/twiml"}
PRICES = """
prices:
  - {provider: twilio, model: voice-outbound-api, unit: call_seconds, price: "0.60", per: "60", increment: "60",
     book: list, valid_from: 2020-01-01}
  - {provider: twilio, model: voice-inbound, unit: call_seconds, price: "0.30", per: "60", increment: "60",
     book: list, valid_from: 2020-01-01}
"""


@pytest.fixture(autouse=True)
def sixty_cents_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "phone.yaml"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))
    for known in (_legs._last_seen, _legs._contexts, _running._running):
        known.clear()  # SIDs of the fakes repeat


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(session, "_reporter", made.reporter)
    return made


@pytest.fixture
def twilio(spans: Recorded) -> Iterator[tuple[FakeTwilio, Client]]:
    instrumentor = TwilioInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    with FakeTwilio() as fake:
        client = Client(ACCOUNT, "token")
        client.api.base_url = fake.url
        yield fake, client
    instrumentor.uninstrument()


def pass_minutes(time: Time, minutes: int) -> None:
    for _ in range(minutes):
        time.seconds += 60
        time.reporter.tick()


def amounts(money: Any) -> tuple[D, D]:
    return money.spent_usd, money.reserved_usd


def test_a_call_holds_a_minute_more_with_every_report(
    twilio: tuple[FakeTwilio, Client], time: Time, spans: Recorded
) -> None:
    """Settled by its seconds, and once more, by the difference, when Twilio states its price."""
    fake, client = twilio
    with budget("5") as money:
        sid = client.calls.create(**PLACED).sid
        assert sid is not None
        assert amounts(money) == (0, D("0.60"))
        pass_minutes(time, 1)
        assert amounts(money) == (0, D("1.20"))
        pass_minutes(time, 2)
        assert amounts(money) == (0, D("2.40"))
        fake.end(sid, seconds=190)
        assert record_call_status(fake.status_callback(sid))
        assert amounts(money) == (D("2.40"), 0)
        pass_minutes(time, 1)
        assert amounts(money) == (D("2.40"), 0)
        fake.charge(sid, "-2.20")
        client.calls(sid).fetch()
        client.calls(sid).fetch()
        assert amounts(money) == (D("2.20"), 0)
    assert len(spans.all) == 2, "the status callback writes to the global provider"


def test_a_call_that_does_not_fit_is_not_placed(twilio: tuple[FakeTwilio, Client], time: Time, spans: Recorded) -> None:
    """Twilio is not asked."""
    fake, client = twilio
    with budget("1.00") as money:
        client.calls.create(**PLACED)
        with pytest.raises(BudgetExceeded):
            client.calls.create(**PLACED)
        assert amounts(money) == (0, D("0.60"))
    assert len(fake.calls) == fake.request_count == 1


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
def test_a_call_that_nobody_answers_costs_nothing(twilio: tuple[FakeTwilio, Client], time: Time, status: str) -> None:
    """Its money is free again."""
    fake, client = twilio
    with budget("1.00") as money:
        sid = client.calls.create(**PLACED).sid
        assert sid is not None
        fake.end(sid, seconds=None, status=status)
        record_call_status(fake.status_callback(sid))
        assert amounts(money) == (0, 0)


def test_a_call_that_twilio_refuses_costs_nothing(twilio: tuple[FakeTwilio, Client], time: Time) -> None:
    """No call exists."""
    fake, client = twilio
    fake.refuse_next = [400]
    with budget("1.00") as money:
        with pytest.raises(TwilioRestException):
            client.calls.create(**PLACED)
        assert amounts(money) == (0, 0)


def test_hanging_up_settles(twilio: tuple[FakeTwilio, Client], time: Time) -> None:
    """The answer to `update` states the end: 61 seconds are two minutes."""
    _, client = twilio
    with budget("5") as money:
        sid = client.calls.create(**PLACED).sid
        assert sid is not None
        client.calls(sid).update(status="completed")
        assert amounts(money) == (D("1.20"), 0)


def test_a_call_that_comes_in_is_held_from_when_it_is_bound(twilio: tuple[FakeTwilio, Client], time: Time) -> None:
    """Nobody can refuse it any more. A message that is bound holds nothing."""
    fake, _ = twilio
    sid = fake.add("inbound")
    with budget("5") as money:
        bind_call("SM00000000000000000000000000000000")
        assert amounts(money) == (0, 0)
        bind_call(sid)
        bind_call(sid)
        assert amounts(money) == (0, D("0.30"))
        pass_minutes(time, 1)
        assert amounts(money) == (0, D("0.60"))
        fake.end(sid, seconds=30)
        record_call_status(fake.status_callback(sid))
        assert amounts(money) == (D("0.30"), 0)


def test_a_call_of_which_nobody_hears_any_more_keeps_what_it_holds(
    twilio: tuple[FakeTwilio, Client], time: Time
) -> None:
    """For as long as Twilio lets a call last, and not more."""
    _, client = twilio
    with budget("1000") as money:
        client.calls.create(**PLACED)
        pass_minutes(time, 300)
        assert amounts(money) == (0, D("0.60") * 240)
        assert not time.reporter._due_at_seconds


def test_a_call_that_two_webhooks_report_at_once_is_held_once(twilio: tuple[FakeTwilio, Client], time: Time) -> None:
    """The money that the second one reserved meanwhile is free again; the leg's end settles the first."""
    sid = twilio[0].add("inbound")
    with budget("5") as money:
        for _ in range(2):
            _running.begin(sid, follow(request_of_inbound(), context_api.get_current()))
        assert amounts(money) == (0, D("0.30"))
