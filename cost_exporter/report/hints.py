"""Hints: where money may have been spent without need, each with a bound, "at most $x".

Pure. A bound is what the calls cost more than the alternative would have, in exact decimals; what could really be saved
depends on the application. Calls of unknown cost are counted beside it and are not in it. One call may
be in several hints, so bounds are never added up.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from cost_exporter.domain.money import LINE_PLACES, ZERO, to_plain, total
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.report.amounts import cost_text
from cost_exporter.report.sheet import Fold, Sheet

__all__ = [
    "EXPENSIVE_FACTOR",
    "Hint",
    "expensive_models",
    "hints_sheet",
    "interrupted_speech",
    "missed_caches",
    "paid_retries",
]

Row = Mapping[str, Any]
EXPENSIVE_FACTOR: Final = 5
"""A model is expensive where both of its prices are this many times those of another one that is used."""
_ADVICE: Final = {
    "prompt_cache_missed": "begin every prompt with what is the same, and mark it for the cache where needed",
    "expensive_model": "try {instead} on prompts of this size",
    "interrupted_speech": "send text to be spoken in sentences, and stop sending when the caller speaks",
    "paid_retry": "look at why these calls fail before they are made again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Calls of one kind that may have cost less."""

    kind: str
    tenant: str
    workflow_name: str | None
    provider: str
    model: str
    request_count: int
    at_most_usd: Decimal
    unpriced_count: int = 0
    """Calls of the same kind whose cost is unknown, or only in part."""
    instead: str | None = None
    """The cheaper model."""

    def as_json(self) -> dict[str, Any]:
        """Return it under the SQL column names, money as text."""
        return {
            "kind": self.kind,
            "tenant_id": self.tenant,
            "workflow_name": self.workflow_name,
            "provider": self.provider,
            "model": self.model,
            "request_count": self.request_count,
            "at_most_usd": to_plain(self.at_most_usd),
            "unpriced_count": self.unpriced_count,
            "instead": self.instead,
            "advice": self.advice,
        }

    @property
    def advice(self) -> str:
        """Return what to look at."""
        return _ADVICE[self.kind].format(instead=self.instead)


def hints_sheet(hints: Sequence[Hint], title: str) -> Sheet:
    """Return hints as a table."""
    return Sheet(
        title=title,
        columns=("hint", "tenant", "workflow", "model", "calls", "at_most", "advice"),
        rows=tuple(
            (
                each.kind,
                each.tenant,
                each.workflow_name or "-",
                f"{each.provider}/{each.model}",
                str(each.request_count),
                _bound_text(each),
                each.advice,
            )
            for each in hints
        ),
        right_aligned=frozenset({"calls", "at_most"}),
        folds=(
            Fold(columns=("tenant", "workflow", "model"), into="where", separator="\n"),
            Fold(columns=("calls", "at_most"), into="at_most", separator="\n", words=(" calls", "")),
        ),
        total="A call may be in several hints: do not add them up." if hints else "Nothing to hint at.",
    )


def _bound_text(hint: Hint) -> str:
    beside = f" + {hint.unpriced_count} unpriced" if hint.unpriced_count else ""
    return cost_text(hint.at_most_usd) + beside


# --------------------------------------------------------------------------------------------- prompt cache missed


def missed_caches(rows: Sequence[Row], book: PriceBook) -> list[Hint]:
    """Long prompts that read nothing from a cache: their uncached input at its price, less the price of a cached read.

    A model without a price for cached reads has no cache to miss.
    """
    bounds: dict[tuple[str, str | None, str, str], list[tuple[int, int, Decimal]]] = defaultdict(list)
    for row in rows:
        key = row["tenant_id"], row["workflow_name"], row["provider"], row["model"]
        if row["unit_price_usd"] is None:
            bounds[key].append((0, row["unpriced_count"], ZERO))
            continue
        cached = _cached_rate(row, book)
        saved = None if cached is None else _times(row["token_count"], _rate(row, "unit_price_usd", "per") - cached)
        if saved is not None and saved > 0:
            bounds[key].append((row["request_count"], 0, saved))
    return _hints("prompt_cache_missed", bounds)


def _cached_rate(row: Row, book: PriceBook) -> Fraction | None:
    """Return the price of one token that is read from the cache, when the last of the calls began."""
    tokens = int(row["token_count"] / row["request_count"])
    moment: datetime = row["last_started_at"]
    usage = UsageRecord(
        provider=row["provider"],
        model=row["model"],
        operation=row["operation"],
        quantities={"input_tokens": tokens, "cache_read_tokens": tokens, "output_tokens": 0},
        at_unix_ns=int(moment.astimezone(UTC).timestamp()) * 10**9,
        tenant=row["tenant_id"],
        api_key=row["api_key_id"] or "",
        service_tier=row["service_tier"] or "",
        mode=row["mode"] or "",
    )
    for line in book.price(usage).lines:
        if line.unit == "cache_read_tokens" and line.unit_price_usd is not None and line.per is not None:
            return Fraction(line.unit_price_usd) / Fraction(line.per)
    return None


# ----------------------------------------------------------------------------------------------- expensive models


def expensive_models(rows: Sequence[Row]) -> list[Hint]:
    """Small prompts to a model that costs five times another one: what they cost, less the same tokens there.

    The other one is of the same provider, and the tenant uses it in the same period, so it is known to be there.
    """
    models: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        models[row["tenant_id"], row["provider"]][row["model"]].append(row)
    hints: list[Hint] = []
    for (tenant, provider), by_model in models.items():
        rates = {model: _lowest_rates(of_model) for model, of_model in by_model.items()}
        for model, of_model in by_model.items():
            small = [row for row in of_model if row["is_small"]]
            found = min(_cheaper(small, rates, rates[model]), default=None)
            if found is not None:
                cost_there, instead = found
                spent = Fraction(total(row["cost_usd"] for row in small))
                hint = Hint(
                    kind="expensive_model",
                    tenant=tenant,
                    workflow_name=None,
                    provider=provider,
                    model=model,
                    request_count=sum(row["request_count"] for row in small),
                    at_most_usd=_decimal(spent - cost_there),
                    instead=instead,
                )
                hints.append(hint)
    return [each for each in hints if each.at_most_usd > 0]


def _lowest_rates(rows: Sequence[Row]) -> tuple[Fraction, Fraction]:
    return (
        min(_rate(row, "input_price_usd", "input_per") for row in rows),
        min(_rate(row, "output_price_usd", "output_per") for row in rows),
    )


def _cheaper(
    small: Sequence[Row], rates: Mapping[str, tuple[Fraction, Fraction]], own: tuple[Fraction, Fraction]
) -> Iterator[tuple[Fraction, str]]:
    """Yield what the tokens of these calls cost at each model that is far cheaper."""
    if not small:
        return
    input_tokens = sum(Fraction(row["input_tokens"]) for row in small)
    output_tokens = sum(Fraction(row["output_tokens"]) for row in small)
    for model, (input_rate, output_rate) in rates.items():
        if (
            own[0] >= EXPENSIVE_FACTOR * input_rate
            and own[1] >= EXPENSIVE_FACTOR * output_rate
            and own[1] > output_rate
        ):
            yield input_tokens * input_rate + output_tokens * output_rate, model


# --------------------------------------------------------------------------------------------- speech and retries


def interrupted_speech(rows: Sequence[Row]) -> list[Hint]:
    """Speech that the caller interrupted: all that it cost, because how much was played is not known."""
    return _whole_costs("interrupted_speech", rows)


def paid_retries(rows: Sequence[Row]) -> list[Hint]:
    """Failed calls that were billed and made again: all that they cost."""
    return _whole_costs("paid_retry", rows)


def _whole_costs(kind: str, rows: Sequence[Row]) -> list[Hint]:
    bounds: dict[tuple[str, str | None, str, str], list[tuple[int, int, Decimal]]] = defaultdict(list)
    for row in rows:
        key = row["tenant_id"], row["workflow_name"], row["provider"], row["model"]
        unpriced_count = row["unpriced_count"]
        bounds[key].append((row["request_count"] - unpriced_count, unpriced_count, row["cost_usd"]))
    return _hints(kind, bounds)


def _hints(
    kind: str, bounds: Mapping[tuple[str, str | None, str, str], Sequence[tuple[int, int, Decimal]]]
) -> list[Hint]:
    return [
        Hint(
            kind=kind,
            tenant=tenant,
            workflow_name=workflow_name,
            provider=provider,
            model=model,
            request_count=sum(count for count, _, _ in parts),
            unpriced_count=sum(count for _, count, _ in parts),
            at_most_usd=total(saved for _, _, saved in parts),
        )
        for (tenant, workflow_name, provider, model), parts in bounds.items()
    ]


def _rate(row: Row, price: str, per: str) -> Fraction:
    return Fraction(row[price]) / Fraction(row[per])


def _times(quantity: Decimal, rate: Fraction) -> Decimal:
    return _decimal(Fraction(quantity) * rate)


def _decimal(amount: Fraction) -> Decimal:
    """Return an amount at the places of a cost line, half-even as there."""
    return Decimal(round(amount * 10**LINE_PLACES)).scaleb(-LINE_PLACES)
