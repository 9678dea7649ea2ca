"""What a request told, counted."""

from dataclasses import replace

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.facts import DeadLetter, Facts, Receipt
from cost_exporter.domain.quote import Line, Rate
from tests.domain.builders import call, price_by_sum, settled


def test_every_span_of_a_request_is_counted_once() -> None:
    """Calls, dead letters and what is ignored make up the request."""
    facts = Facts(
        namespace="default",
        received_at_unix_ns=0,
        calls=[call("a"), call("b")],
        dead_letters=[DeadLetter(reason="bad_id")],
        ignored_count=4,
    )
    assert facts.span_count == 2 + 1 + 4


def test_a_receipt_warns_of_dead_letters_only() -> None:
    """The sender hears of spans that were kept aside, and of nothing else."""
    assert Receipt(received=3, accepted=3).warning == ""
    assert "2 span(s) kept as dead letters" in Receipt(received=3, accepted=1, dead_letter=2).warning


def test_attribution_fills_gaps_from_its_fallback() -> None:
    """Field by field; nothing said on one side is the other side."""
    mine, theirs = Attribution(tenant="a"), Attribution(tenant="b", task="t")
    assert mine.with_fallback(theirs) == Attribution(tenant="a", task="t")
    assert mine.with_fallback(NO_ATTRIBUTION) is mine
    assert NO_ATTRIBUTION.with_fallback(theirs) is theirs


def test_a_line_writes_money_as_text() -> None:
    """In JSON money and quantities are strings, and unknown is null."""
    from decimal import Decimal as D

    line = Line(
        rate=Rate("vectors", price_id="p"),
        quantity=D("1.50"),
        billed_quantity=D(2),
        amount_usd=None,
    )
    assert line.as_json() == {
        "unit": "vectors",
        "quantity": "1.5",
        "billed_quantity": "2",
        "unit_price": None,
        "per": None,
        "amount": None,
        "price_id": "p",
    }


def test_a_record_gives_back_the_quote_it_was_made_with() -> None:
    """Re-rating and late spans compare quotes, so none of a quote may be lost in its record."""
    (record,) = settled(call("a")).values()
    assert record.quote == price_by_sum(replace(record.call.usage, tenant=record.tenant))
