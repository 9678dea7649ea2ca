"""Twilio's usage records, and the usage files of Deepgram and ElevenLabs.

Twilio states money and counts by category, no model: calls and messages are compared by operation. Deepgram states
hours, ElevenLabs characters by model; neither states money.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from cost_exporter.errors import StatementError
from cost_exporter.invoices.stated import Stated, day_of_seconds, day_of_text, figure_of, items_of, times

__all__ = ["deepgram_usage", "elevenlabs_usage", "twilio_page"]

_HOUR_SECONDS: Final = Decimal(3600)
_OPERATIONS: Final = {
    **dict.fromkeys(("calls", "calls-inbound", "calls-outbound"), ("phone_call", "calls")),
    **dict.fromkeys(("sms", "sms-inbound", "sms-outbound"), ("text_message", "messages")),
}
_TOTALS: Final = {"calls": ("calls-inbound", "calls-outbound"), "sms": ("sms-inbound", "sms-outbound")}
"""Categories that are sums of others: left out where the parts are there."""
_IGNORED: Final = frozenset({"totalprice"})


def twilio_page(page: dict[str, Any]) -> Iterator[Stated]:
    """Yield a page of daily usage records."""
    records = items_of(page, "usage_records", "the page")
    present = {str(record.get("category")) for record in records}
    for record in records:
        category = str(record.get("category"))
        is_sum = bool(present.intersection(_TOTALS.get(category, ())))
        is_empty = str(record.get("count") or "0") == "0" and str(record.get("price") or "0").strip("0.") == ""
        if category in _IGNORED or is_sum or is_empty:
            continue
        operation, unit = _OPERATIONS.get(category, ("", ""))
        is_dollars = str(record.get("price_unit") or "usd").lower() == "usd"
        price = record.get("price")
        yield Stated(
            day=day_of_text(record.get("start_date"), "start_date"),
            label=category,
            operation=operation,
            quantities={unit: figure_of(record.get("count") or 0, "count")} if unit else {},
            cost_usd=None if price in {None, ""} else figure_of(str(price), "price"),
            is_mapped=bool(operation) and is_dollars,
        )


def deepgram_usage(content: dict[str, Any]) -> Iterator[Stated]:
    """Yield the days of a usage file: hours of audio, all models together unless it was grouped by model."""
    for result in items_of(content, "results", "the file"):
        grouped = result.get("grouping")
        model = str(grouped.get("models") or "") if isinstance(grouped, dict) else ""
        yield Stated(
            day=day_of_text(result.get("start"), "start"),
            label=model or "speech to text",
            model=model,
            operation="" if model else "speech_to_text",
            quantities={
                "audio_seconds": times(figure_of(result.get("hours") or 0, "hours"), _HOUR_SECONDS),
                "requests": figure_of(result.get("requests") or 0, "requests"),
            },
        )


def elevenlabs_usage(content: dict[str, Any]) -> Iterator[Stated]:
    """Yield the days of character statistics that were broken down by model."""
    usage = content.get("usage")
    times_ms = content.get("time")
    if not isinstance(usage, dict) or not isinstance(times_ms, list):
        raise StatementError("the file has no `time` and `usage`: export the character statistics by model")
    for model, counts in usage.items():
        if not isinstance(counts, list) or len(counts) != len(times_ms):
            raise StatementError(f"the characters of {model!r} are not one for each time")
        for at_ms, count in zip(times_ms, counts, strict=True):
            if count:
                is_whole = str(model).lower() in {"all", "total"}
                yield Stated(
                    day=day_of_seconds(at_ms // 1000 if isinstance(at_ms, int) else at_ms, "time"),
                    label=str(model),
                    model="" if is_whole else str(model),
                    operation="text_to_speech" if is_whole else "",
                    quantities={"characters": figure_of(count, "usage")},
                )
