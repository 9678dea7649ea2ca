"""Twilio's SDK against a fake that holds calls as Twilio does."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest
import twilio
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callfare import attributes as names
from callfare.instrumentation.twilio import TwilioInstrumentor, bind_call, record_call_status
from callfare.instrumentation.twilio._usage import leg_of_form
from tests.instrumentation.fakes.twilio import ACCOUNT, FakeTwilio
from tests.instrumentation.recording import Recorded, recorded

MAJOR = int(twilio.__version__.split(".")[0])
TO, FROM = "+15550006789", "+15550001234"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of aiohttp


@pytest.fixture
def fake() -> Iterator[FakeTwilio]:
    with FakeTwilio() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(TwilioInstrumentor) as record:
        yield record


@pytest.fixture(autouse=True)
def _forget() -> None:
    """SIDs of the fakes repeat; what was said of a leg must not."""
    from callfare.instrumentation.twilio import _legs

    _legs._said.clear()
    _legs._contexts.clear()


def _client(fake: FakeTwilio, **kwargs: Any) -> Client:
    client = Client(ACCOUNT, "token", **kwargs)
    client.api.base_url = fake.url
    return client


def test_a_call_is_placed_ends_and_is_priced_under_one_id(fake: FakeTwilio, spans: Recorded) -> None:
    """Three spans of one leg: placed, 75 seconds, $0.028; polling between them says nothing new."""
    client = _client(fake)
    sid = client.calls.create(to=TO, from_=FROM, url="http://example.test/twiml").sid
    client.calls(sid).fetch()
    fake.end(sid, seconds=75)
    client.calls(sid).fetch()
    client.calls(sid).fetch()
    fake.charge(sid, "-0.02800")
    assert client.calls(sid).fetch().price == "-0.02800"
    assert spans.values(names.CALL_ID) == [sid] * 3
    assert spans.values(names.CALL_STATUS) == ["queued", "completed", "completed"]
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 75, 75]
    assert spans.values(names.VENDOR_COST) == [None, None, "0.02800"]
    assert spans.values(names.VENDOR_COST_CURRENCY)[2] == "USD"
    assert spans.values(names.REQUEST_MODEL) == ["voice-outbound-api"] * 3
    assert set(spans.values(names.OPERATION_NAME)) == {"phone_call"}


def test_every_span_of_a_leg_joins_the_workflow_that_placed_it(fake: FakeTwilio, spans: Recorded) -> None:
    """The price is fetched by a job of its own, and still lands in the call's trace."""
    client = _client(fake)
    with spans.tracer.start_as_current_span("workflow") as workflow:
        sid = client.calls.create(to=TO, from_=FROM, url="http://example.test/twiml").sid
    fake.end(sid, seconds=10)
    with spans.tracer.start_as_current_span("reconciler"):
        client.calls(sid).fetch()
    placed, ended = spans.paid
    assert placed.context.trace_id == ended.context.trace_id == workflow.get_span_context().trace_id


def test_hanging_up_tells_the_duration(fake: FakeTwilio, spans: Recorded) -> None:
    """`update(status="completed")` answers with the leg as it ended."""
    client = _client(fake)
    sid = client.calls.create(to=TO, from_=FROM, url="http://example.test/twiml").sid
    client.calls(sid).update(status="completed")
    assert spans.total(names.CALL_DURATION_SECONDS) == 61


def test_a_refused_call_is_free_and_raises_as_before(fake: FakeTwilio, spans: Recorded) -> None:
    """Twilio's own exception; the number in its text is not on the span."""
    fake.refuse_next = [400]
    with pytest.raises(TwilioRestException):
        _client(fake).calls.create(to=TO, from_=FROM, url="http://example.test/twiml")
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 400, names.CALL_REFUSED: True}.items()


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
def test_a_call_that_was_not_answered_lasted_no_time(fake: FakeTwilio, spans: Recorded, status: str) -> None:
    """Zero seconds, said outright: that is a price of nothing, not an unknown one."""
    client = _client(fake)
    sid = client.calls.create(to=TO, from_=FROM, url="http://example.test/twiml").sid
    fake.end(sid, seconds=None, status=status)
    client.calls(sid).fetch()
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 0]


def test_an_inbound_call_is_recorded_by_its_status_callback(fake: FakeTwilio, spans: Recorded) -> None:
    """Both legs of a forwarded call, each by its own SID; other statuses and repetitions are silent."""
    inbound, forwarded = fake.add("inbound"), fake.add("outbound-dial")
    provider = spans.provider
    assert record_call_status(fake.status_callback(inbound), tracer_provider=provider) is False, "still queued"
    for sid, seconds in ((inbound, 127), (forwarded, 95)):
        fake.end(sid, seconds=seconds)
        form = fake.status_callback(sid) | ({"ParentCallSid": inbound} if sid == forwarded else {})
        assert record_call_status(form, tracer_provider=provider) is True
        assert record_call_status(form, tracer_provider=provider) is False
    assert spans.values(names.CALL_ID) == [inbound, forwarded]
    assert spans.values(names.CALL_PARENT_ID) == [None, inbound]
    assert spans.values(names.REQUEST_MODEL) == ["voice-inbound", "voice-outbound-dial"]
    assert spans.total(names.CALL_DURATION_SECONDS) == 127 + 95
    span = spans.paid[0]
    assert 127 <= (span.end_time - span.start_time) / 1e9 < 128


def test_a_bound_inbound_call_joins_the_workflow(fake: FakeTwilio, spans: Recorded) -> None:
    """The media stream's start event tells the SID, the callback comes as another request."""
    sid = fake.add("inbound")
    with spans.tracer.start_as_current_span("workflow") as workflow:
        bind_call(sid)
    fake.end(sid, seconds=3)
    record_call_status(fake.status_callback(sid), tracer_provider=spans.provider)
    assert spans.paid[0].context.trace_id == workflow.get_span_context().trace_id


def test_forms_may_hold_lists_and_nonsense() -> None:
    """`parse_qs` makes lists; a stranger's form is no call."""
    leg = leg_of_form({"CallSid": ["CA1"], "CallStatus": ["completed"], "CallDuration": ["9"]}, 10**19)
    assert (leg.call_id, leg.seconds, leg.started_at_unix_ns) == ("CA1", 9, 10**19 - 9 * 10**9)
    assert record_call_status({}) is False
    assert record_call_status({"CallSid": "CA1", "CallStatus": "ringing", "CallDuration": "x"}) is False
    assert leg_of_form({"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "x"}, 0).seconds is None


def test_the_price_is_exact_and_positive(fake: FakeTwilio, spans: Recorded) -> None:
    """A decimal string, as Twilio wrote it."""
    client = _client(fake)
    sid = fake.add("inbound")
    fake.end(sid, seconds=60)
    fake.charge(sid, "-0.00850")
    client.calls(sid).fetch()
    assert D(spans.one[names.VENDOR_COST]) == D("0.00850")


def test_clients_and_sip_are_priced_as_such(fake: FakeTwilio, spans: Recorded) -> None:
    """By the scheme of the address, which itself stays off the span."""
    client = _client(fake)
    client.calls.create(to="client:alice", from_=FROM, url="http://example.test/twiml")
    client.calls.create("sip:bob@example.test", FROM, url="http://example.test/twiml")
    assert spans.values(names.REQUEST_MODEL) == ["client", "sip"]
    assert "alice" not in spans.text()
    assert "bob" not in spans.text()


@pytest.mark.skipif(MAJOR < 8, reason="asyncio came with SDK 7.x releases, and is tested from 8")
def test_asynchronous_calls_are_recorded(fake: FakeTwilio, spans: Recorded) -> None:
    """`create_async`, `fetch_async`."""
    from twilio.http.async_http_client import AsyncTwilioHttpClient

    async def call() -> None:
        http = AsyncTwilioHttpClient()
        client = _client(fake, http_client=http)
        sid = (await client.calls.create_async(to=TO, from_=FROM, url="http://example.test/twiml")).sid
        fake.end(sid, seconds=75)
        await client.calls(sid).fetch_async()
        await http.close()

    asyncio.run(call())
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 75]


@pytest.mark.skipif(MAJOR < 9, reason="came with 9")
def test_calls_with_http_info_are_recorded_once(fake: FakeTwilio, spans: Recorded) -> None:
    """The wrapped answer keeps its shape."""
    client = _client(fake)
    created = client.calls.create_with_http_info(to=TO, from_=FROM, url="http://example.test/twiml")
    assert created.status_code == 201
    fake.end(created.data.sid, seconds=75)
    assert client.calls(created.data.sid).fetch_with_http_info().data.duration == "75"
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 75]


def test_no_number_leaves_the_process(fake: FakeTwilio, spans: Recorded) -> None:
    """E.164 is personal data."""
    client = _client(fake)
    sid = client.calls.create(to=TO, from_=FROM, url="http://example.test/twiml").sid
    fake.end(sid, seconds=75)
    client.calls(sid).fetch()
    inbound = fake.add("inbound")
    fake.end(inbound, seconds=5)
    record_call_status(fake.status_callback(inbound), tracer_provider=spans.provider)
    assert len(spans.paid) == 3
    assert "555" not in spans.text().replace(sid, "").replace(inbound, "")
    assert "SPRINGFIELD" not in spans.text()


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakeTwilio) -> None:
    """The wrapped methods are put back."""
    from twilio.rest.api.v2010.account.call import CallContext, CallList

    before = vars(CallList)["create"], vars(CallContext)["fetch"]
    with recorded(TwilioInstrumentor) as spans:
        pass
    assert (vars(CallList)["create"], vars(CallContext)["fetch"]) == before
    _client(fake).calls.create(to=TO, from_=FROM, url="http://example.test/twiml")
    assert spans.paid == []
