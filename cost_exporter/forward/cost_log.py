"""One log line for each call that was priced, and for each final workflow: `CALLFARE_LOG_COSTS=1`.

    tts elevenlabs eleven_flash_v2_5 47 characters = $0.00235
    llm openai gpt-4o-mini 1,200 input tokens (800 cached), 42 output tokens = $0.0001452 (estimated)
    llm acme in-house-7b 900 input tokens, 12 output tokens = unknown (unpriced)
    workflow support-call of acme: 9 calls = $0.0459

A line is written after the commit that stores the call, so what it says is in the ledger. A call whose cost changes
later, because a span of it came late, has another line that says what it was. The figures are on the log record as
well, for a handler that writes JSON: `tenant_id`, `trace_id`, `span_id`, `status` and `cost_usd` (text; None where
unknown).
"""

import logging
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from cost_exporter.domain.cost import CostRecord, leg_of
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quantity import Quantities
from cost_exporter.safe_text import for_log

__all__ = ["LOGGER_NAME", "log_calls", "log_workflow", "start_cost_log"]

LOGGER_NAME: Final = "callfare.costs"
_log: Final = logging.getLogger(LOGGER_NAME)
_PARTS: Final = {
    "cache_read_tokens": ("input_tokens", "cached"),
    "cache_write_tokens": ("input_tokens", "written to the cache"),
    "reasoning_tokens": ("output_tokens", "reasoning"),
}
"""Parts that follow their total in brackets: the total, and the word."""


def start_cost_log() -> None:
    """Let the lines out: on standard error, unless the application has handlers of its own."""
    _log.setLevel(logging.INFO)
    if not _log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        _log.addHandler(handler)


def log_calls(changes: Iterable[tuple[CostRecord, CostRecord | None]]) -> None:
    """Log the records that are new, and those whose cost is another than before."""
    for record, before in changes:
        if before is None:
            if record.status != "duplicate":
                _log_call(record)
        elif (record.cost_usd, record.status) != (before.cost_usd, before.status):
            _log_call(record, before)


def _log_call(record: CostRecord, before: CostRecord | None = None) -> None:
    """Log one call; `before` is what was stored until now."""
    usage = record.call.usage
    names = (leg_of(usage.operation), usage.provider, record.model, _quantities_text(record.quantities))
    was = "" if before is None else f", was {_amount(before)}"
    _log.info(
        "%s = %s%s",
        for_log(" ".join(name for name in names if name)),
        _amount(record),
        was,
        extra={
            "tenant_id": record.tenant,
            "trace_id": record.call.trace_id.hex(),
            "span_id": record.call.span_id.hex(),
            "cost_usd": None if record.cost_usd is None else to_plain(record.cost_usd),
            "status": record.status,
        },
    )


def log_workflow(*, trace_id: str, tenant: str, call_count: int, total_cost_usd: Decimal, unpriced_count: int) -> None:
    """Log what a final workflow cost; with calls of unknown cost it cost at least that."""
    _log.info(
        "workflow %s of %s: %d %s = %s$%s",
        trace_id,
        for_log(tenant),
        call_count,
        "call" if call_count == 1 else "calls",
        "at least " if unpriced_count else "",
        to_plain(total_cost_usd),
        extra={
            "tenant_id": tenant,
            "trace_id": trace_id,
            "cost_usd": to_plain(total_cost_usd),
            "unpriced_count": unpriced_count,
        },
    )


def _amount(record: CostRecord) -> str:
    """Return the cost, and what is to be known of it unless it is simply priced."""
    if record.status == "duplicate":
        return "nothing of its own (duplicate)"
    amount = "unknown" if record.cost_usd is None else f"${to_plain(record.cost_usd)}"
    return amount if record.status == "priced" else f"{amount} ({record.status})"


def _quantities_text(quantities: Quantities) -> str:
    brackets: dict[str, list[str]] = {}
    for part, (whole, words) in _PARTS.items():
        if quantities.get(part):
            brackets.setdefault(whole, []).append(f"{quantities[part]:,} {words}")
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" + (f" ({', '.join(brackets[name])})" if name in brackets else "")
        for name, count in quantities.items()
        if name not in _PARTS or _PARTS[name][0] not in quantities
    )
