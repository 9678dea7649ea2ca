"""Twilio's SDK against a fake that holds calls as Twilio does."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from typing import Any

import pytest
import twilio
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callfare import attributes as names
from callfare.instrumentation.twilio import (
    TwilioInstrumentor,
    bind_call,
    record_call_status,
    record_message_status,
)
from callfare.instrumentation.twilio._usage import leg_of_form
from tests.instrumentation.fakes.twilio import ACCOUNT, FakeTwilio
from tests.support.recording import Recorded, recorded

MAJOR = int(twilio.__version__.split(".")[0])
TO, FROM = "+15550006789", "+15550001234"
MESSAGES = f"{names.USAGE_PREFIX}messages"
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

    _legs._last_seen.clear()
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


@pytest.mark.parametrize(
    "shape",
    [
        dict,
        lambda form: {name: [value] for name, value in form.items()},
        lambda form: {name.encode(): [value.encode()] for name, value in form.items()},
        lambda form: list(form.items()),
    ],
    ids=["plain", "parse_qs", "parse_qs of bytes", "parse_qsl"],
)
def test_a_form_is_taken_in_any_shape(
    fake: FakeTwilio, spans: Recorded, shape: Callable[[dict[str, str]], Any]
) -> None:
    """A WSGI body is bytes, and so is what is parsed of it: no call is lost by that."""
    sid = fake.add("inbound")
    fake.end(sid, seconds=61)
    assert record_call_status(shape(fake.status_callback(sid)), tracer_provider=spans.provider) is True
    assert (spans.one[names.CALL_ID], spans.one[names.CALL_DURATION_SECONDS]) == (sid, 61)


@pytest.mark.parametrize("form", [None, b"CallSid=CA1", "CallSid=CA1", 7, [1, 2], {1: 2}, {"CallSid": 3}])
def test_what_is_no_form_is_no_call(spans: Recorded, form: Any) -> None:
    """Raises nothing, writes nothing."""
    assert record_call_status(form, tracer_provider=spans.provider) is False
    assert spans.paid == []


@pytest.mark.parametrize("duration", ["9" * 30, "²", "-5", "61.0", ""])
def test_a_duration_that_cannot_be_is_unknown(spans: Recorded, duration: str) -> None:
    """A start before the epoch could not be exported, and would take its whole batch with it."""
    form = {"CallSid": "CA1", "CallStatus": "completed", "CallDuration": duration, "Direction": "inbound"}
    assert record_call_status(form, tracer_provider=spans.provider) is True
    assert names.CALL_DURATION_SECONDS not in spans.one
    assert spans.paid[0].start_time > 0


def test_a_callback_that_waited_in_a_queue_tells_when_the_call_was() -> None:
    """By its timestamp; one that lies ahead is a clock's mistake."""
    ended_at = 1_795_728_600 * 10**9
    form = {"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "9"}
    for timestamp in ("Thu, 26 Nov 2026 21:30:00 +0000", "Thu, 26 Nov 2026 21:30:00 -0000"):
        leg = leg_of_form({**form, "Timestamp": timestamp}, ended_at + 10**13)
        assert leg.started_at_unix_ns == ended_at - 9 * 10**9
    for timestamp in ("Thu, 26 Nov 2096 21:30:00 +0000", "yesterday", 5):
        assert leg_of_form({**form, "Timestamp": timestamp}, ended_at).started_at_unix_ns == ended_at - 9 * 10**9


@pytest.mark.parametrize(
    ("direction", "to", "model"),
    [
        ("outbound-api", "+15550006789", "voice-outbound-api"),
        ("outbound-api", "+447700900123", "voice-outbound-api-44"),
        ("outbound-dial", "+353851234567", "voice-outbound-dial-353"),
        ("outbound-api", "+79161234567", "voice-outbound-api-7"),
        ("outbound-api", "+18005550100", "voice-outbound-api"),
        ("inbound", "+18335550100", "voice-inbound-tollfree"),
        ("inbound", "+4930901820", "voice-inbound-49"),
        ("inbound", "anonymous", "voice-inbound"),
        ("inbound", None, "voice-inbound"),
        ("", "+447700900123", ""),
        ("outbound-api", "+15550006789:7", "voice-outbound-api"),
    ],
)
def test_the_model_names_what_the_price_depends_on(direction: str, to: str | None, model: str) -> None:
    """The price of the United States is no price for another country; a toll-free number is dearer to be called on."""
    form = {"CallSid": "CA1", "CallStatus": "completed", "Direction": direction, "To": to, "From": "+15550001234"}
    assert leg_of_form(form, 0).model == model


def test_a_message_is_billed_by_segments_and_then_by_its_price(fake: FakeTwilio, spans: Recorded) -> None:
    """Two spans of one message: sent, then priced; polling between them says nothing new."""
    client = _client(fake)
    sid = client.messages.create(to=TO, from_=FROM, body="canary " * 30).sid
    fake.messages[sid] |= {"status": "delivered"}
    client.messages(sid).fetch()
    fake.messages[sid] |= {"price": "-0.01660"}
    assert client.messages(sid).fetch().price == "-0.01660"
    client.messages(sid).fetch()
    assert spans.values(names.MESSAGE_ID) == [sid] * 2
    assert spans.values(MESSAGES) == [2, 2]
    assert spans.values(names.VENDOR_COST) == [None, "0.01660"]
    assert spans.values(names.REQUEST_MODEL) == ["sms-outbound"] * 2
    assert set(spans.values(names.OPERATION_NAME)) == {"text_message"}
    assert "canary" not in spans.text()
    assert "555" not in spans.text().replace(sid, "")


def test_a_messaging_service_tells_the_segments_later(fake: FakeTwilio, spans: Recorded) -> None:
    """0 is not yet known, and no price of nothing."""
    client = _client(fake)
    sid = client.messages.create(to=TO, messaging_service_sid="MG1", body="x").sid
    client.messages(sid).fetch()
    fake.messages[sid] |= {"status": "sent", "num_segments": "1", "from": FROM}
    client.messages(sid).fetch()
    assert spans.values(MESSAGES) == [None, 1]


def test_media_and_other_channels_are_billed_by_the_message(fake: FakeTwilio, spans: Recorded) -> None:
    """Whatever the segments of their text."""
    client = _client(fake)
    client.messages.create(to=TO, from_=FROM, body="x" * 500, media_url=["http://example.test/cat.png"])
    client.messages.create(to=f"whatsapp:{TO}", from_=f"whatsapp:{FROM}", body="x" * 500)
    client.messages.create(to="+447700900123", from_=FROM, body="x")
    assert spans.values(MESSAGES) == [1, 1, 1]
    assert spans.values(names.REQUEST_MODEL) == ["mms-outbound", "whatsapp-outbound", "sms-outbound-44"]


def test_a_message_that_was_never_sent_costs_nothing(fake: FakeTwilio, spans: Recorded) -> None:
    """Cancelled by the SDK, failed by the callback."""
    client = _client(fake)
    cancelled, failed = (client.messages.create(to=TO, from_=FROM, body="x").sid for _ in range(2))
    client.messages(cancelled).update(status="canceled")
    provider = spans.provider
    assert record_message_status({"MessageSid": failed, "MessageStatus": "sent"}, tracer_provider=provider) is False
    assert record_message_status({"MessageSid": failed, "MessageStatus": "failed"}, tracer_provider=provider) is True
    assert [(span[names.MESSAGE_ID], span[MESSAGES]) for span in _attributes(spans)[2:]] == [
        (cancelled, 0),
        (failed, 0),
    ]


def _attributes(spans: Recorded) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in spans.paid]


def test_an_inbound_message_is_recorded_by_its_webhook(spans: Recorded) -> None:
    """Once, though webhooks repeat."""
    form = {"MessageSid": "SM1", "SmsStatus": "received", "NumSegments": "3", "NumMedia": "0", "Body": "canary"}
    form |= {"From": FROM, "To": TO}
    assert record_message_status(form, tracer_provider=spans.provider) is True
    assert record_message_status(form, tracer_provider=spans.provider) is False
    assert spans.one.items() >= {names.REQUEST_MODEL: "sms-inbound", MESSAGES: 3.0}.items()
    assert "canary" not in spans.text()


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
        message = await client.messages.create_async(to=TO, from_=FROM, body="x")
        fake.messages[message.sid] |= {"price": "-0.00830"}
        await message.fetch_async()
        await http.close()

    asyncio.run(call())
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 75, None, None]
    assert spans.values(names.VENDOR_COST) == [None, None, None, "0.00830"]


@pytest.mark.skipif(MAJOR < 9, reason="came with 9")
def test_calls_with_http_info_are_recorded_once(fake: FakeTwilio, spans: Recorded) -> None:
    """The wrapped answer keeps its shape."""
    client = _client(fake)
    created = client.calls.create_with_http_info(to=TO, from_=FROM, url="http://example.test/twiml")
    assert created.status_code == 201
    fake.end(created.data.sid, seconds=75)
    assert client.calls(created.data.sid).fetch_with_http_info().data.duration == "75"
    assert spans.values(names.CALL_DURATION_SECONDS) == [None, 75]
    message = client.messages.create_with_http_info(to=TO, from_=FROM, body="x")
    fake.messages[message.data.sid] |= {"price": "-0.00830"}
    client.messages(message.data.sid).fetch_with_http_info()
    assert spans.values(MESSAGES) == [None, None, 1, 1]


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
