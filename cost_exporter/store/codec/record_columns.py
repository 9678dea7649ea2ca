"""A cost record as a row of `record`, and back.

Rows go to the database a column at a time (`arrays.py`); `record_parameters` has them in the order of the statements
that write them. Lines are stored as arrays without the names that each of them repeats; the view gives these back.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.quote import Line, Rate
from cost_exporter.domain.span import Call
from cost_exporter.store.codec.arrays import DateArray, Int2Array, Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.codec.fact_json import (
    call_fact,
    call_fact_text,
    call_from,
    compact_json,
    loads_exactly,
    quantities_json,
    with_member,
)
from cost_exporter.store.codec.rate_numbers import RateNumbers

__all__ = ["fact_json", "lines_from", "lines_json", "record_from_row", "record_parameters"]


def record_parameters(
    records: Sequence[CostRecord],
    *,
    bucket_days: Sequence[int],
    namespaces: Sequence[str],
    received_at_us: Sequence[int],
    numbers: RateNumbers,
) -> dict[str, Any]:
    """Return one array a column of `record`."""
    calls = [record.call for record in records]
    usages = [call.usage for call in calls]
    words = [record.attribution for record in records]
    return {
        "bucket": DateArray.of_unix_days(bucket_days),
        "namespace": TextArray.of(namespaces),
        "trace_id": UuidArray.of([call.trace_id for call in calls]),
        "span_id": Int8Array.of_ids([call.span_id for call in calls]),
        "parent_span_id": Int8Array.of_ids([call.parent_span_id for call in calls]),
        "tenant_id": TextArray.of([record.tenant for record in records]),
        "category": TextArray.of([record.category for record in records]),
        "leg": TextArray.of([record.leg for record in records]),
        "operation": TextArray.of([usage.operation for usage in usages]),
        "provider": TextArray.of([usage.provider for usage in usages]),
        "model": TextArray.of([record.model for record in records]),
        "service_tier": TextArray.of([usage.service_tier or None for usage in usages]),
        "mode": TextArray.of([usage.mode or None for usage in usages]),
        "task": TextArray.of([each.task for each in words]),
        "tier": TextArray.of([each.tier for each in words]),
        "user_id": TextArray.of([each.user for each in words]),
        "api_key_id": TextArray.of([each.api_key for each in words]),
        "service_name": TextArray.of([call.service_name or None for call in calls]),
        "error_type": TextArray.of([call.error_type or None for call in calls]),
        "started_at": TimestampArray.of_unix_us([call.started_at_unix_ns // 1000 for call in calls]),
        "started_ns": Int2Array.of([call.started_at_unix_ns % 1000 for call in calls]),
        "duration_ns": Int8Array.of([call.ended_at_unix_ns - call.started_at_unix_ns for call in calls]),
        "received_at": TimestampArray.of_unix_us(received_at_us),
        "status": TextArray.of([record.status for record in records]),
        "cost_usd": TextArray.of_distinct([_money(record.cost_usd) for record in records]),
        "reported_cost_usd": TextArray.of([_money(call.reported_cost_usd) for call in calls]),
        "duplicate_of": Int8Array.of_ids([record.duplicate_of for record in records]),
        "duplicate_trace_id": UuidArray.of([record.duplicate_trace_id for record in records]),
        "content_hash": Int8Array.of([call.content_hash for call in calls]),
        "book_version": TextArray.of([record.book_version for record in records]),
        "usage": TextArray.of_distinct([quantities_json(record.quantities) for record in records]),
        "lines": TextArray.of_distinct([lines_json(record.lines, numbers) for record in records]),
        "issues": TextArray.of([_issues_json(record.issues) for record in records]),
        "fact": TextArray.of_distinct([_fact_json(record) for record in records]),
    }


def record_from_row(row: Mapping[str, Any], numbers: RateNumbers) -> CostRecord:
    """Return the record of a row of the statement `load_records`. Raises `UnknownRate`.

    Its attribution holds the fields that a record shows; the rest is inherited again when its trace is settled.
    """
    fact: dict[str, Any] = loads_exactly(row["fact"])
    billed: Quantities = loads_exactly(row["usage"])
    started_at_unix_ns = row["started_us"] * 1000 + row["started_ns"]
    columns = {
        **row,
        "started_at_unix_ns": started_at_unix_ns,
        "ended_at_unix_ns": started_at_unix_ns + row["duration_ns"],
    }
    for name in ("service_tier", "mode", "service_name", "error_type"):
        columns[name] = row[name] or ""
    is_amended = "model" in fact
    if is_amended:
        columns["model"] = fact["model"]
    call = call_from(fact, fact.get("quantities", billed), columns)
    return CostRecord(
        call=call,
        tenant=row["tenant_id"],
        category=row["category"],
        attribution=Attribution(task=row["task"], tier=row["tier"], user=row["user_id"], api_key=row["api_key_id"]),
        quantities=billed,
        session_before=_decimals(fact.get("session_before")),
        status=row["status"],
        cost_usd=row["cost_usd"],
        lines=lines_from(row["lines"], numbers),
        issues=tuple(json.loads(row["issues"])) if row["issues"] else (),
        quote_issues=tuple(fact.get("quote_issues", ())),
        duplicate_of=row["duplicate_of"],
        duplicate_trace_id=row["duplicate_trace_id"],
        book_version=row["book_version"],
        amended_model=row["model"] if is_amended else "",
    )


def lines_json(lines: Sequence[Line], numbers: RateNumbers | None = None) -> str | None:
    """Return the lines as stored, or None for none. A rate that has a number is not spelled out."""
    if not lines:
        return None
    return f"[{','.join([_line_json(line, numbers) for line in lines])}]"


def lines_from(text: str | None, numbers: RateNumbers | None = None) -> tuple[Line, ...]:
    """Return the lines of this text. Raises `UnknownRate`."""
    return () if text is None else tuple(_line_from(each, numbers) for each in json.loads(text))


def _line_json(line: Line, numbers: RateNumbers | None) -> str:
    rate, quantity, billed_quantity, amount_usd = line
    # null for the billed quantity says that it is the quantity itself, as it mostly is.
    is_plain = billed_quantity is quantity or billed_quantity == quantity
    billed = "null" if is_plain else f'"{to_plain(billed_quantity)}"'
    amount = "null" if amount_usd is None else f'"{to_plain(amount_usd)}"'
    number = None if numbers is None else numbers.number_of(rate)
    if number is not None:
        return f'[null,"{to_plain(quantity)}",{billed},null,null,{amount},{number}]'
    _, unit, price, price_id = _rate_texts.get(id(rate)) or _new_rate_texts(rate)
    return f'{unit}"{to_plain(quantity)}",{billed}{price}{amount}{price_id}'


_rate_texts: dict[int, tuple[Rate, str, str, str]] = {}
"""The columns of a line that depend on its rate, by `id(rate)`. The rate is kept alive so that its id is not reused."""
_RATE_TEXTS_MAX: Final = 4096


def _new_rate_texts(rate: Rate) -> tuple[Rate, str, str, str]:
    prices = ["null" if each is None else f'"{to_plain(each)}"' for each in (rate.price_usd, rate.per)]
    texts = rate, f'["{rate.unit}",', f",{','.join(prices)},", f",{compact_json(rate.price_id)}]"
    if len(_rate_texts) >= _RATE_TEXTS_MAX:
        _rate_texts.clear()
    _rate_texts[id(rate)] = texts
    return texts


def _line_from(cells: Sequence[Any], numbers: RateNumbers | None) -> Line:
    unit, quantity, billed, unit_price, per, amount, price_id = cells
    if isinstance(price_id, int):
        assert numbers is not None
        rate = numbers.rate(price_id)
    else:
        rate = Rate(
            unit=unit,
            price_usd=None if unit_price is None else Decimal(unit_price),
            per=None if per is None else Decimal(per),
            price_id=price_id or "",
        )
    return Line(
        rate=rate,
        quantity=Decimal(quantity),
        billed_quantity=Decimal(quantity if billed is None else billed),
        amount_usd=None if amount is None else Decimal(amount),
    )


def _decimals(texts: Mapping[str, str] | None) -> Quantities | None:
    return None if texts is None else {unit: Decimal(text) for unit, text in texts.items()}


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


@lru_cache(maxsize=1024)
def _issues_json(issues: tuple[str, ...]) -> str | None:
    return json.dumps(issues, ensure_ascii=False) if issues else None


def fact_json(call: Call) -> str:
    """Return everything that a call says as JSON, for the history."""
    usage = call.usage
    fact = call_fact(call) | {
        "provider": usage.provider,
        "model": usage.model,
        "operation": usage.operation,
        "started_at_unix_ns": call.started_at_unix_ns,
        "ended_at_unix_ns": call.ended_at_unix_ns,
    }
    return with_member(compact_json(fact), "quantities", quantities_json(usage.quantities))


def _fact_json(record: CostRecord) -> str:
    text = call_fact_text(record.call)
    if record.quote_issues:
        text = with_member(text, "quote_issues", compact_json(record.quote_issues))
    if record.session_before is not None:
        before = {unit: str(number) for unit, number in record.session_before.items()}
        text = with_member(text, "session_before", compact_json(before))
    # The columns have the billed model and quantities; the span's own are kept beside them if they differ.
    if record.amended_model:
        text = with_member(text, "model", compact_json(record.call.usage.model))
    own_quantities = record.call.usage.quantities
    if record.quantities is not own_quantities and record.quantities != own_quantities:
        text = with_member(text, "quantities", quantities_json(own_quantities))
    return text
