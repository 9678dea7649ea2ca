"""Explain a quote: each line as arithmetic that a finance colleague can check by hand."""

from decimal import Decimal

from cost_exporter.domain.money import LINE_PLACES, to_plain
from cost_exporter.domain.pricing.rows import instant_text
from cost_exporter.domain.quote import Line, Quote
from cost_exporter.domain.usage import UsageRecord

__all__ = ["explain"]

_STATUS_WORDS = {
    "priced": "every quantity has a price",
    "reported": "the provider's own figure",
    "estimated": "an estimate: see below for what it rests on",
    "partial": "the known part only: some quantities have no price, or were not stated",
    "unpriced": "unknown: no price applies",
    "no_usage": "unknown: nothing says what was used",
    "invalid": "unknown: the quantities cannot be right",
    "duplicate": "billed under another record",
}


def explain(usage: UsageRecord, quote: Quote) -> str:
    """Return how the amount comes about, line by line, with the price rows it rests on."""
    who = f"{usage.provider or '(no provider)'} {usage.model or usage.request_model or '(no model)'}"
    amount = "unknown" if quote.amount_usd is None else f"${to_plain(quote.amount_usd)}"
    text = [
        f"{who}, {instant_text(usage.at_unix_ns)}: {amount}",
        f"status {quote.status}: {_STATUS_WORDS[quote.status]}; price book {quote.book_version}",
    ]
    for line in quote.lines:
        text += _line_text(line)
    if quote.amount_usd is not None and len(quote.lines) > 1:
        parts = " + ".join(f"${to_plain(line.amount_usd)}" for line in quote.lines if line.amount_usd is not None)
        text.append(f"  total: {parts} = ${to_plain(quote.amount_usd)}")
    text += [f"  note: {issue}" for issue in quote.issues]
    return "\n".join(text)


def _line_text(line: Line) -> list[str]:
    quantity = _grouped(line.quantity)
    if line.amount_usd is None or line.unit_price_usd is None or line.per is None:
        return [f"  {line.unit}: {quantity}, no price: counted as unknown, not as nothing"]
    billed = ""
    if line.billed_quantity != line.quantity:
        billed = f" (billed as {_grouped(line.billed_quantity)})"
    rate = f"${to_plain(line.unit_price_usd)}"
    per = "" if line.per == 1 else f" / {_grouped(line.per)}"
    exact = line.billed_quantity * line.unit_price_usd / line.per
    is_rounded = exact != line.amount_usd
    rounding = f", rounded half-even to {LINE_PLACES} places" if is_rounded else ""
    return [
        f"  {line.unit}: {quantity}{billed} x {rate}{per} = ${to_plain(line.amount_usd)}{rounding}",
        f"    price: {line.price_id}",
    ]


def _grouped(number: Decimal) -> str:
    """Return a quantity with thousands separated: 1,200,000."""
    whole, point, places = to_plain(number).partition(".")
    return f"{int(whole):,}{point}{places}"
