"""OpenAI's usage and costs, and Anthropic's usage and cost report, page by page as their APIs answer.

OpenAI's usage has tokens by model and its costs have money by line item, `MODEL, input` and the like; Anthropic's cost
report has cents by model. Token counts become inclusive, as ours are.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from cost_exporter.invoices.stated import (
    NOTHING,
    Figure,
    Stated,
    day_of_seconds,
    day_of_text,
    figure_of,
    items_of,
    plus,
    times,
)

__all__ = ["anthropic_page", "openai_page"]

_CENT: Final = Decimal("0.01")
_OPENAI_TOKENS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "input_cached_tokens": "cache_read_tokens",
    "num_model_requests": "requests",
    "characters": "characters",
    "seconds": "audio_seconds",
}
_LINE_ITEMS: Final = frozenset(
    {"input", "output", "cached input", "audio input", "audio output", "cached audio input", "image input"}
)
"""What may follow the model in a line item."""


def openai_page(page: dict[str, Any]) -> Iterator[Stated]:
    """Yield a page of usage or of costs."""
    for bucket in items_of(page, "data", "the page"):
        day = day_of_seconds(bucket.get("start_time"), "start_time")
        for result in items_of(bucket, "results", "the bucket"):
            if "amount" in result:
                yield _openai_cost(result, day)
            else:
                model = str(result.get("model") or "")
                counted = {unit: name for name, unit in _OPENAI_TOKENS.items() if result.get(name) is not None}
                quantities = {unit: figure_of(result[name], name) for unit, name in counted.items()}
                label = model or "no model stated"
                yield Stated(day=day, label=label, model=model, quantities=quantities, is_mapped=bool(model))


def _openai_cost(result: dict[str, Any], day: Any) -> Stated:
    label = str(result.get("line_item") or "no line item")
    amount = result["amount"] if isinstance(result["amount"], dict) else {}
    is_dollars = str(amount.get("currency", "usd")).lower() == "usd"
    model, _, kind = label.partition(", ")
    return Stated(
        day=day,
        label=label,
        model=model,
        cost_usd=figure_of(amount.get("value"), "amount.value"),
        is_mapped=is_dollars and kind.lower() in _LINE_ITEMS,
    )


def anthropic_page(page: dict[str, Any]) -> Iterator[Stated]:
    """Yield a page of the usage report or of the cost report."""
    for bucket in items_of(page, "data", "the page"):
        day = day_of_text(bucket.get("starting_at"), "starting_at")
        for result in items_of(bucket, "results", "the bucket"):
            model = str(result.get("model") or "")
            label = str(result.get("description") or model or "no model stated")
            if "amount" in result:
                is_dollars = str(result.get("currency", "USD")).upper() == "USD"
                cost_usd = times(figure_of(result["amount"], "amount"), _CENT)
                yield Stated(day=day, label=label, model=model, cost_usd=cost_usd, is_mapped=bool(model) and is_dollars)
            else:
                quantities = _anthropic_tokens(result)
                yield Stated(day=day, label=label, model=model, quantities=quantities, is_mapped=bool(model))


def _anthropic_tokens(result: dict[str, Any]) -> dict[str, Figure]:
    created = result.get("cache_creation")
    parts = created if isinstance(created, dict) else {}
    written = [figure_of(parts.get(f"ephemeral_{age}_input_tokens") or 0, "cache_creation") for age in ("5m", "1h")]
    cache_write = plus(*written)
    cache_read = figure_of(result.get("cache_read_input_tokens") or 0, "cache_read_input_tokens")
    uncached = figure_of(result.get("uncached_input_tokens") or 0, "uncached_input_tokens")
    return {
        "input_tokens": plus(plus(uncached, cache_read), cache_write),
        "cache_read_tokens": cache_read,
        "cache_write_tokens": cache_write,
        "output_tokens": figure_of(result.get("output_tokens") or 0, "output_tokens"),
        "web_searches": _searches(result),
    }


def _searches(result: dict[str, Any]) -> Figure:
    used = result.get("server_tool_use")
    count = used.get("web_search_requests") if isinstance(used, dict) else None
    return NOTHING if count is None else figure_of(count, "web_search_requests")
