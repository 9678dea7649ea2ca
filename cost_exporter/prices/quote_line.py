"""Answer one usage as JSON with one quote as JSON: the format of `callfare prices quote`.

One line in, one line out, always: what cannot be read is answered `invalid` with the reason. Numbers are read
as they are written, never through a float.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import parse_decimal, to_plain
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.explain import explain
from cost_exporter.domain.pricing.rows import OPERATOR
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.domain.quantity import QUANTITIES, Quantity
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import CallfareError, UsageError
from cost_exporter.prices.place import wrap
from cost_exporter.prices.price_file import parse_rates
from cost_exporter.prices.rows import read_factor

__all__ = ["AnsweredLine", "QuoteDesk", "quote_json"]

_TEXTS: Final = (
    *("provider", "model", "request_model", "operation", "tenant", "api_key", "service_tier", "mode", "region"),
    *("speed", "plan", "search_context", "base_url"),
)
_BOOKS_MAX: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LINE_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredLine:
    """The quote of one line, and whether the line could be read."""

    body: dict[str, Any]
    explanation: str
    is_readable: bool

    @property
    def text(self) -> str:
        """The quote as one line of JSON."""
        return json.dumps(self.body, separators=(", ", ": "))


class QuoteDesk:
    """Answers lines from one price book; remembers the small books made of ad-hoc rates."""

    def __init__(self, book: PriceBook) -> None:
        """Take the book that prices usages without rates of their own."""
        self._book = book
        self._books: dict[str, PriceBook] = {}

    def answer(self, line: bytes | str, *, now: datetime) -> AnsweredLine:
        """Return the answer to one line; `now` is the time of usages that state none."""
        try:
            asked = _parse(line)
            usage = _usage(asked, now)
            if isinstance(asked.get("rates"), list) and _factor(asked["rates"]) is None:
                usage = _for_rates(usage)
            quote = self._book_for(asked, usage).price(usage)
            return AnsweredLine(body=quote_json(quote), explanation=explain(usage, quote), is_readable=True)
        except (CallfareError, ValueError, ArithmeticError, RecursionError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            issue = f"bad_line: {reason}"
            quote = Quote(amount_usd=None, status="invalid", issues=(issue,), book_version=self._book.version)
            return AnsweredLine(body=quote_json(quote), explanation=issue, is_readable=False)

    def _book_for(self, asked: Mapping[str, Any], usage: UsageRecord) -> PriceBook:
        rates = asked.get("rates")
        if rates is None:
            return self._book
        key = json.dumps([usage.provider, usage.model, rates], default=str)
        book = self._books.get(key)
        if book is None:
            if len(self._books) >= _BOOKS_MAX:
                self._books.clear()
            book = self._books[key] = self._new_book(rates, usage)
        return book

    def _new_book(self, rates: Any, usage: UsageRecord) -> PriceBook:
        factor = _factor(rates)
        if factor is not None:
            return self._book.scaled(read_factor(wrap(factor, "rates")).factor)
        if not isinstance(rates, list) or not rates:
            raise UsageError('rates is neither a list of price rows nor [{"factor": "0.875"}]')
        rows = parse_rates(rates, provider=usage.provider, model=usage.model)
        return PriceBook.of(rows, override_books={OPERATOR, *[row.book for row in rows]})


def _factor(rates: Any) -> dict[str, Any] | None:
    """Return the factor on the book's rows that `rates` are: `[{"factor": "0.875"}]`, or that object alone."""
    only: Any = rates[0] if isinstance(rates, list) and len(rates) == 1 else rates
    return only if isinstance(only, dict) and only.keys() == {"factor"} else None


def quote_json(quote: Quote) -> dict[str, Any]:
    """Return a quote in the shape of the contract; money and quantities as strings."""
    return {
        "amount": None if quote.amount_usd is None else to_plain(quote.amount_usd),
        "currency": "USD",
        "status": quote.status,
        "lines": [line.as_json() for line in quote.lines],
        "issues": list(quote.issues),
        "book_version": quote.book_version,
    }


def _parse(line: bytes | str) -> dict[str, Any]:
    if len(line) > _LINE_BYTES_MAX:
        raise UsageError(f"the line is longer than {_LINE_BYTES_MAX:,} bytes")
    try:
        asked: Any = json.loads(line, parse_float=parse_decimal, parse_constant=parse_decimal)
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    if not isinstance(asked, dict):
        raise UsageError('not a JSON object; write {"provider": …, "model": …, "usage": {…}}')
    return asked


_BESIDE: Final = {"output_citation_tokens": "citation_tokens"}
"""genai-prices' names of parts of the output that are quantities of their own here."""


def _usage(asked: Mapping[str, Any], now: datetime) -> UsageRecord:
    texts: dict[str, Any] = {name: _text(asked, name) for name in _TEXTS}
    texts["provider"] = canonical_provider(texts["provider"])
    quantities: Any = {} if asked.get("usage") is None else asked["usage"]
    if not isinstance(quantities, dict):
        raise UsageError('usage is not an object; write "usage": {"input_tokens": 1200}')
    counted = {
        _BESIDE.get(str(name), str(name)): _quantity(str(name), raw)
        for name, raw in quantities.items()
        if raw is not None
    }
    for name, quantity in _BESIDE.items():
        if name in quantities and "output_tokens" in counted:
            counted["output_tokens"] -= counted[quantity]
    return UsageRecord(**texts, quantities=counted, at_unix_ns=_at(asked, now))


def _for_rates(usage: UsageRecord) -> UsageRecord:
    """Return the usage under one provider and model, which the rates given with it are for, whatever they are."""
    model = usage.model.strip() or usage.request_model.strip() or "any"
    return replace(usage, provider=usage.provider or "any", model=model, base_url="")


def _text(asked: Mapping[str, Any], name: str) -> str:
    text = asked.get(name)
    if text is not None and not isinstance(text, str):
        raise UsageError(f"{name} is not a text")
    return text or ""


def _quantity(name: str, raw: Any) -> Quantity:
    if name not in QUANTITIES and name not in _BESIDE:
        raise UsageError(f"unknown quantity {name!r}; use one of: {', '.join(sorted(QUANTITIES))}")
    if isinstance(raw, bool) or not isinstance(raw, int | str | Decimal):
        raise UsageError(f"{name} is neither a number nor a decimal text")
    number = parse_decimal(raw.strip()) if isinstance(raw, str) else raw
    if isinstance(number, Decimal) and number == number.to_integral_value():
        return int(number)
    return number


def _at(asked: Mapping[str, Any], now: datetime) -> int:
    """Return Unix nanoseconds; a time without offset is UTC."""
    text = _text(asked, "at")
    if not text:
        instant = now
    else:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"at {text!r} is not a time; write 2026-01-01T00:00:00Z") from None
    since = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
