"""Cost lines name the price of everybody by a number, and say what they said before to whoever reads them."""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import Factor, PriceRow
from cost_exporter.domain.quote import Line, Rate
from cost_exporter.domain.span import Call
from cost_exporter.errors import StoreFault
from cost_exporter.store.codec.rate_numbers import RateNumbers, UnknownRate
from cost_exporter.store.codec.record_columns import lines_from, lines_json
from cost_exporter.store.database.roles import ONE
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.ledger.rates import give_numbers, rates_of, read_numbers
from tests.domain.builders import call
from tests.store.requests import problems, request, rows, snapshot

Database = psycopg.Connection[Any]
D = Decimal
MILLION = D(1_000_000)
LISTED = [
    PriceRow(provider="openai", model="gpt-4o-mini", unit="input_tokens", price_usd=D("0.15"), per=MILLION),
    PriceRow(provider="openai", model="gpt-4o-mini", unit="output_tokens", price_usd=D("0.60"), per=MILLION),
    PriceRow(
        provider="deepgram", model="nova", unit="audio_seconds", price_usd=D("0.0043"), per=D(60), increment=D(15)
    ),
]
OF_ACME = PriceRow(provider="openai", model="gpt-4o-mini", unit="input_tokens", price_usd=D("0.1"), book="tenant:acme")
OF_KEY = PriceRow(
    provider="openai", model="gpt-4o-mini", unit="output_tokens", price_usd=D(3), book="api_key:k1", inherits_list=True
)
OF_GLOBEX = Factor(book="tenant:globex", factor=D("0.9"))
BOOK = PriceBook.of([*LISTED, OF_ACME, OF_KEY], factors=[OF_GLOBEX])
price = BOOK.price_of_call
NAMES = "select price_id from callfare.rate order by 1"
RAW = "select lines::text from callfare.record where trace_id = %s order by span_id"
LINES = "select lines from callfare.cost_record where trace_id = %s order by span_id"

money = st.decimals(min_value=0, max_value=10**9, places=6)
rates = st.builds(
    Rate,
    unit=st.sampled_from(["input_tokens", "images"]),
    price_usd=st.none() | money,
    per=st.none() | st.sampled_from([D(1), MILLION]),
    price_id=st.sampled_from(["", "list/a/b/images", "operator/a/b/images", "tenant:acme/a/b/images", "list/a x 0.9"]),
)
lines = st.lists(
    st.builds(Line, rate=rates, quantity=money, billed_quantity=money, amount_usd=st.none() | money), max_size=6
)


def calls(trace: int, **fields: Any) -> list[Call]:
    """A call of each service, in one trace."""
    trace_id = trace.to_bytes(16, "big")
    voice: dict[str, Any] = {
        "provider": "deepgram",
        "model": "nova",
        "operation": "speech_to_text",
        "quantities": {"audio_seconds": D("31.5")},
    }
    return [call("a", trace=trace_id, **fields), call("b", trace=trace_id, start_ms=5, **fields | voice)]


def spelled_out(text: str) -> bool:
    return "tokens" in text or "seconds" in text


@given(lines, st.lists(st.integers(0, 5)))
def test_lines_come_back_equal_with_and_without_numbers(some: list[Line], which: list[int]) -> None:
    """Also where some of the rates have a number, and to one who learns the numbers later."""
    numbers = RateNumbers()
    numbers.learn((100 + each, some[each].rate) for each in which if each < len(some))
    text = lines_json(some, numbers)
    assert lines_from(text, numbers) == tuple(some)
    later = RateNumbers()
    later.learn((100 + each, some[each].rate) for each in reversed(which) if each < len(some))
    numbered = {some[each].rate for each in which if each < len(some)}
    if any(line.rate in numbered for line in some):
        with pytest.raises(UnknownRate):
            lines_from(text, RateNumbers())
    assert lines_from(text, later) == tuple(some)
    assert lines_from(lines_json(some)) == tuple(some)


@given(st.lists(rates))
def test_only_what_everybody_pays_is_to_have_a_number(some: list[Rate]) -> None:
    """What a tenant or a key pays, with a row of its own or by a factor, is in its own records alone."""
    numbers = RateNumbers()
    for rate in some:
        assert numbers.number_of(rate) is None
    assert numbers.wanted == {
        each for each in some if each.price_id[:4] in {"list", "oper"} and " x " not in each.price_id
    }


def test_many_rates_are_remembered_for_a_while() -> None:
    """A book of any size takes bounded memory, and an equal rate that is made anew has the same number."""
    numbers = RateNumbers()
    numbers.learn([(7, Rate("images", D(1), D(1), "list/a"))])
    for each in range(10_000):
        assert numbers.number_of(Rate("images", D(each), D(1), "tenant:x")) is None
    assert numbers.number_of(Rate("images", D("1.0"), D("1.00"), "list/a")) == 7
    assert numbers.wanted == set()


def test_the_second_commit_names_what_the_first_spelled_out(ledger: LedgerStore, database: Database) -> None:
    """Views say the same of both, digit by digit."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    (first, second), (shown, again) = (
        [[row[0] for row in rows(database, sql, trace.to_bytes(16, "big").hex())] for trace in (1, 2)]
        for sql in (RAW, LINES)
    )
    assert all(map(spelled_out, first))
    assert not any(map(spelled_out, second))
    assert shown == again
    assert shown[0] == [
        {
            "unit": unit,
            "quantity": quantity,
            "billed_quantity": quantity,
            "unit_price": unit_price,
            "per": "1000000",
            "amount": amount,
            "price_id": f"list/openai/gpt-4o-mini/{unit}",
        }
        for unit, quantity, unit_price, amount in (
            ("input_tokens", "1200", "0.15", "0.00018"),
            ("output_tokens", "345", "0.6", "0.000207"),
        )
    ]
    assert (shown[1][0]["quantity"], shown[1][0]["billed_quantity"]) == ("31.5", "45")
    assert [row[0] for row in rows(database, NAMES)] == [
        "list/deepgram/nova/audio_seconds",
        "list/openai/gpt-4o-mini/input_tokens",
        "list/openai/gpt-4o-mini/output_tokens",
    ]
    assert problems(database) == []


def test_lines_are_spelled_out_again_in_their_order(ledger: LedgerStore, database: Database) -> None:
    """Those of the second trace as those of the first, none where there are none, and mixed ones."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    spelled = "select callfare.spelled_lines(lines) from callfare.record where trace_id = %s order by span_id"
    raw = "select lines from callfare.record where trace_id = %s order by span_id"
    first, second = ((each).to_bytes(16, "big").hex() for each in (1, 2))
    assert rows(database, raw, first) == rows(database, spelled, first) == rows(database, spelled, second)
    assert rows(database, raw, second) != rows(database, raw, first)
    assert rows(database, "select callfare.spelled_lines(null), callfare.spelled_lines('[]')") == [(None, [])]
    (mixed,) = rows(
        database,
        'select callfare.spelled_lines(lines || \'[["images", "1", null, null, null, null, null]]\') -> -1,'
        ' jsonb_array_length(callfare.spelled_lines(lines || \'[["images", "1", null, null, null, null, null]]\'))'
        " from callfare.record where trace_id = %s and model = 'nova'",
        second,
    )
    assert mixed == (["images", "1", None, None, None, None, None], 2)


def test_what_one_tenant_pays_stays_in_its_records(ledger: LedgerStore, database: Database) -> None:
    """A price of its own, a factor, and one of an API key."""
    for trace in (1, 4):
        for number, words in enumerate(
            (Attribution(tenant="acme"), Attribution(tenant="globex"), Attribution(tenant="initech", api_key="k1"))
        ):
            ledger.commit([request(*calls(trace + number, attribution=words))], price)
    names = [row[0] for row in rows(database, NAMES)]
    assert names == ["list/deepgram/nova/audio_seconds", "list/openai/gpt-4o-mini/input_tokens"]
    shown = {
        str(row[0])
        for row in rows(database, "select jsonb_array_elements(lines) ->> 'price_id' from callfare.cost_record")
    }
    assert {each.partition("/")[0] for each in shown} == {"", "list", "tenant:acme", "api_key:k1"}
    assert "list/openai/gpt-4o-mini/input_tokens x 0.9" in shown


@pytest.mark.parametrize("is_new_connection", [False, True])
def test_a_late_span_finds_the_lines_as_they_were(
    database_url: str, ledger: LedgerStore, database: Database, is_new_connection: bool
) -> None:
    """Loaded and settled again nothing changes, whoever reads the numbers, and whatever the book says by then."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    before = snapshot(database)
    later = LedgerStore(database_url) if is_new_connection else ledger
    dearer = PriceBook.of([PriceRow(provider="openai", model="gpt-4o-mini", unit="input_tokens", price_usd=D(9))])
    late = [
        call("c", trace=trace.to_bytes(16, "big"), start_ms=60_000, end_ms=61_000, quantities={}) for trace in (1, 2)
    ]
    later.commit([request(*late)], dearer.price_of_call)
    if is_new_connection:
        later.close()
    after = snapshot(database)
    assert len(after["cost_record"]) == len(before["cost_record"]) + 2
    assert set(before["cost_record"]) < set(after["cost_record"])
    assert rows(database, "select count(*) from callfare.record_revision") == [(0,)]
    assert problems(database) == []


def test_writers_at_once_give_each_rate_one_number(database_url: str, database: Database) -> None:
    """Whoever comes second takes the number of the first."""
    at_once = threading.Barrier(3)
    known: list[dict[Rate, int | None]] = []

    def give() -> None:
        with psycopg.connect(database_url) as connection:
            numbers = rates_of(connection)
            wanted = [Rate("images", D(each), D(1), f"list/a/{each}") for each in range(50)]
            for rate in wanted:
                numbers.number_of(rate)
            at_once.wait()
            give_numbers(connection)
            known.append({rate: numbers.number_of(rate) for rate in wanted})

    _run([give] * 3)
    assert known[0] == known[1] == known[2]
    assert sorted(known[0].values(), key=str) == sorted(
        (row[0] for row in rows(database, "select rate_id from callfare.rate")), key=str
    )


def test_numbers_may_fail_and_nothing_else_does(ledger: LedgerStore, database: Database) -> None:
    """The spans are stored and acknowledged, with their prices spelled out; later there are numbers again."""
    database.execute("alter table callfare.rate add constraint none check (false)")
    for trace in (1, 2):
        (receipt,) = ledger.commit([request(*calls(trace))], price)
        assert receipt.accepted == 2
    assert all(spelled_out(row[0]) for row in rows(database, "select lines::text from callfare.record"))
    database.execute("alter table callfare.rate drop constraint none")
    for trace in (3, 4):
        ledger.commit([request(*calls(trace))], price)
    assert not any(spelled_out(row[0]) for row in rows(database, RAW, (4).to_bytes(16, "big").hex()))
    assert problems(database) == []


def test_a_number_that_was_not_stored_is_not_used(ledger: LedgerStore, database: Database) -> None:
    """What fails at the end of its transaction was never there."""
    database.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
        "create constraint trigger refuse after insert on callfare.rate deferrable initially deferred"
        " for each row execute function public.refuse()"
    )
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    assert all(spelled_out(row[0]) for row in rows(database, "select lines::text from callfare.record"))
    database.execute("drop trigger refuse on callfare.rate")


def test_a_rate_that_is_gone_is_a_fault_of_the_database(
    database_url: str, ledger: LedgerStore, database: Database
) -> None:
    """After an incomplete restore: nothing is priced anew, no span becomes a dead letter, and it says what to do."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    database.execute("create table kept as select * from callfare.rate")
    database.execute("delete from callfare.rate")
    later = LedgerStore(database_url)
    late = request(call("c", trace=(2).to_bytes(16, "big"), start_ms=60_000, end_ms=61_000))
    with pytest.raises(StoreFault, match="lacks rate"):
        later.commit([late], price)
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]
    database.execute("insert into callfare.rate overriding system value select * from kept")
    (receipt,) = later.commit([late], price)
    later.close()
    assert receipt.accepted == 1
    assert problems(database) == []


def test_an_amount_that_was_tampered_with_is_found(ledger: LedgerStore, database: Database) -> None:
    """In a line that names its rate as well."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace))], price)
    tamper = "update callfare.record set lines = jsonb_set(lines, '{0,5}', to_jsonb(%s::text)) where model = 'nova'"
    database.execute(tamper, ("7",))
    assert {row[0] for row in problems(database)} == {"lines"}
    database.execute(tamper, ("0.003225",))


def test_who_reads_one_tenant_sees_its_prices(ledger: LedgerStore, database: Database) -> None:
    """The role that reads in the name of one tenant."""
    for trace in (1, 2):
        ledger.commit([request(*calls(trace, attribution=Attribution(tenant="umbrella")))], price)
    expected = rows(database, "select lines from callfare.cost_record order by trace_id, span_id")
    with database.transaction():
        database.execute("select set_config('callfare.tenant', 'umbrella', true), set_config('role', %s, true)", (ONE,))
        assert rows(database, "select lines from callfare.cost_record order by trace_id, span_id") == expected
    assert len(expected) == 4


def test_numbers_are_of_one_database(database_url: str, database: Database) -> None:
    """Each connection knows those of its own."""
    with psycopg.connect(database_url) as connection:
        read_numbers(connection)
        assert rates_of(connection) is rates_of(connection)
        assert rates_of(connection) is not rates_of(database)


def _run(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
