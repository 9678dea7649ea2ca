"""Figures that come later: the price of a phone call, the total of a session."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain.span import Call
from tests.domain.builders import OTHER_TRACE, TRACE, billed, call, key, settled, span_id


def test_a_phone_call_keeps_its_place_and_takes_the_vendors_price() -> None:
    """The price arrives later, in another trace: the first span of the call is billed with it."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "call_id": "phone:CA1"}
    first = call("first", quantities={"call_seconds": 75, "calls": 1}, **phone)
    fetched = call("fetch", trace=OTHER_TRACE, start_ms=90_000, quantities={}, vendor_cost_usd=D("0.028"), **phone)
    records = settled(first, fetched)
    record = records[key("first")]
    assert (record.status, record.cost_usd, record.tenant) == ("reported", D("0.028"), "default")
    assert record.quantities == {"call_seconds": 75, "calls": 1}
    assert record.issues == (f"amended_by:{span_id('fetch').hex()}",)
    assert records[key("fetch", OTHER_TRACE)].duplicate_trace_id == TRACE


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_phone_call_keeps_its_place_below_a_span_without_its_id(names: tuple[str, str]) -> None:
    """The application's own span around the call started first and takes the price, whatever the ids of the spans."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "quantities": {"call_seconds": 61}}
    app = call(names[0], end_ms=61_000, **phone)  # pyright: ignore[reportArgumentType]
    reported = call(names[1], parent=names[0], start_ms=1, end_ms=61_000, scope="sdk", call_id="phone:CA1", **phone)  # pyright: ignore[reportArgumentType]
    price = call(
        "c",
        trace=OTHER_TRACE,
        scope="sdk",
        start_ms=90_000,
        end_ms=90_100,
        call_id="phone:CA1",
        vendor_cost_usd=D("0.0280"),
        **phone,
    )  # pyright: ignore[reportArgumentType]
    records = settled(app, reported, price)
    assert billed(app, reported, price) == {span_id(names[0])}
    assert records[key(names[0])].cost_usd == D("0.0280")


def test_a_phone_call_is_billed_on_a_span_that_may_be() -> None:
    """The earliest span of it says that it is not billable: the next one is."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "call_id": "phone:CA1"}
    early = call("early", is_billable=False, quantities={}, **phone)  # pyright: ignore[reportArgumentType]
    late = call("late", start_ms=500, quantities={"call_seconds": 61}, **phone)  # pyright: ignore[reportArgumentType]
    assert billed(early, late) == {span_id("late")}


def test_a_phone_call_told_twice_without_news_is_billed_as_first_told() -> None:
    """The first span is the best one already: nothing is amended."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1"}
    first = call("first", quantities={"call_seconds": 75}, **phone)
    records = settled(first, call("again", start_ms=5, quantities={}, **phone))
    assert records[key("first")].issues == ()


def test_a_price_fetched_later_leaves_a_phone_call_in_its_workflow() -> None:
    """Twilio tells the start in whole seconds: the job that fetches the price seems to have been there first."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1", "quantities": {"call_seconds": 75}}
    callback = call("callback", start_ms=1_400, end_ms=76_400, **phone)
    fetched = call("fetch", trace=OTHER_TRACE, start_ms=1_000, end_ms=900_000, vendor_cost_usd=D("0.017"), **phone)
    for spans in ((callback, fetched), (fetched, callback)):
        records = settled(*spans)
        assert records[key("callback")].cost_usd == D("0.017")
        assert records[key("fetch", OTHER_TRACE)].duplicate_trace_id == TRACE


def test_of_spans_of_a_phone_call_with_one_start_the_first_to_end_is_billed() -> None:
    """Twilio tells the start in whole seconds: the span that was told first keeps its place, whatever its id."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1", "quantities": {"call_seconds": 75}}
    first = call("z-first", end_ms=1, **phone)
    records = settled(call("a-later", end_ms=2, vendor_cost_usd=D("0.017"), **phone), first)
    assert (records[key("z-first")].status, records[key("a-later")].status) == ("reported", "duplicate")


def test_a_phone_call_takes_its_model_from_the_span_that_names_it() -> None:
    """A voice call names the leg by its id alone; Twilio's callback says which kind of leg it was."""
    phone = {"operation": "phone_call", "provider": "twilio", "call_id": "phone:CA1"}
    named_by_call = call("stub", end_ms=1, quantities={}, model="", **phone)  # pyright: ignore[reportArgumentType]
    callback = call("back", quantities={"call_seconds": 75}, model="voice-inbound", **phone)  # pyright: ignore[reportArgumentType]
    price = call("price", trace=OTHER_TRACE, end_ms=9_000, quantities={}, model="", vendor_cost_usd=D("0.02"), **phone)  # pyright: ignore[reportArgumentType]
    (record,) = [each for each in settled(named_by_call, callback).values() if each.status != "duplicate"]
    assert (record.call.span_id, record.model, record.call.usage.model) == (span_id("stub"), "voice-inbound", "")
    assert settled(named_by_call, callback, price)[key("stub")].model == "voice-inbound"
    assert settled(named_by_call, price)[key("stub")].model == ""


def test_a_phone_call_keeps_the_model_that_its_own_span_names() -> None:
    """The application placed it, and said to whom; the callback's word does not replace that."""
    phone = {"operation": "phone_call", "provider": "twilio", "call_id": "phone:CA1"}
    placed = call("placed", end_ms=1, quantities={}, model="voice-outbound-api", **phone)  # pyright: ignore[reportArgumentType]
    callback = call("back", quantities={"call_seconds": 75}, model="voice-inbound", **phone)  # pyright: ignore[reportArgumentType]
    assert settled(placed, callback)[key("placed")].model == "voice-outbound-api"


def deltas(*seconds: int, total: int | None) -> list[Call]:
    last = len(seconds) - 1
    return [
        call(
            f"d{i}",
            operation="speech_to_text",
            start_ms=60_000 * i,
            quantities={"audio_seconds": D(each)},
            session_id="s",
            session_sequence=i,
            session_vendor_total_seconds=D(total) if i == last and total is not None else None,
        )
        for i, each in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("seconds", "total", "expected"),
    [
        ((60, 60, 12), None, [60, 60, 12]),
        ((60, 60, 12), 132, [60, 60, 12]),
        ((60, 60, 12), 140, [60, 60, 20]),
        ((60, 60, 12), 125, [60, 60, 5]),
        ((60, 60, 12), 100, [60, 40, 0]),
        ((60, 60, 0), 100, [60, 40, 0]),
    ],
)
def test_deltas_add_up_to_the_vendors_total(seconds: tuple[int, ...], total: int | None, expected: list[int]) -> None:
    """What is missing goes to the last delta; what is too much comes off the last ones, none below 0."""
    records = settled(*deltas(*seconds, total=total))
    assert [records[key(f"d{i}")].quantities["audio_seconds"] for i in range(3)] == expected


def test_each_delta_knows_what_went_before_it() -> None:
    """Prices that round by the session need the sum of the earlier deltas, as corrected."""
    records = settled(*deltas(60, 60, 12, total=100))
    assert [records[key(f"d{i}")].session_before for i in range(3)] == [
        None,
        {"audio_seconds": D(60)},
        {"audio_seconds": D(100)},
    ]


def test_session_seconds_are_corrected_where_the_session_has_no_audio_seconds() -> None:
    """A vendor that meters the open socket states its total of those."""
    delta = call(
        "d",
        quantities={"session_seconds": D(5)},
        session_id="s",
        session_sequence=0,
        session_vendor_total_seconds=D(7),
        session_is_closed=True,
    )
    assert settled(delta)[key("d")].quantities == {"session_seconds": D(7)}


def test_a_leg_that_a_voice_call_names_takes_the_vendors_price_days_later() -> None:
    """The call's own trace knows the leg's id and no more; seconds and price come from elsewhere."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "call_id": "phone:CA1"}
    named = call("named", quantities={}, **phone)
    days_ms = 3 * 86_400_000
    reported = {"operation": "phone_call", "provider": "twilio", "model": "voice-inbound", "call_id": "phone:CA1"}
    fetched = call(
        "fetch",
        trace=OTHER_TRACE,
        start_ms=1,
        end_ms=days_ms,
        quantities={"call_seconds": 75},
        vendor_cost_usd=D("0.017"),
        **reported,
    )
    for spans in ((named, fetched), (fetched, named)):
        record = settled(*spans)[key("named")]
        assert (record.status, record.cost_usd, record.quantities) == ("reported", D("0.017"), {"call_seconds": 75})
