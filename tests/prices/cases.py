"""How a priced case is written down: what was used, and the arithmetic of every line, with the rate's source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal as D
from functools import cache

from cost_exporter.domain import PriceBook, Quote, UsageRecord
from cost_exporter.domain.quantity import Quantity
from cost_exporter.prices import load_book

M = D(1_000_000)
HOUR = D(3_600)
NOON = "2026-11-20T12:00:00+00:00"  # a Friday, outside everybody's peak hours

# Where the rates below were read, all on 2026-11-22 unless the page is older.
OPENAI = "platform.openai.com/docs/pricing"
ANTHROPIC = "docs.claude.com pricing"
GOOGLE = "ai.google.dev/gemini-api/docs/pricing"
BEDROCK = "aws.amazon.com/bedrock/pricing"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One usage and what it costs, line by line."""

    provider: str
    model: str
    usage: Mapping[str, Quantity]
    lines: Mapping[str, D | None]
    source: str
    status: str = "priced"
    at: str = NOON
    given: Mapping[str, object] = field(default_factory=dict)
    issue: str = ""

    @property
    def name(self) -> str:
        conditions = ",".join(str(one) for one in self.given.values())
        used = "+".join(f"{unit}={count}" for unit, count in self.usage.items())
        return f"{self.provider}/{self.model}[{conditions}]{used}@{self.at[:16]}"


@cache
def shipped_book() -> PriceBook:
    return load_book()


def unix_ns(at: str) -> int:
    return int(datetime.fromisoformat(at).astimezone(UTC).timestamp()) * 10**9


def quoted(case: Case) -> Quote:
    usage = UsageRecord(
        provider=case.provider, model=case.model, quantities=case.usage, at_unix_ns=unix_ns(case.at), **case.given
    )
    return shipped_book().price(usage)


def check(case: Case) -> None:
    """Compare status, every line and the sum with the arithmetic written down."""
    quote = quoted(case)
    assert quote.status == case.status, quote
    assert {line.unit: line.amount_usd for line in quote.lines} == {
        unit: None if amount is None else amount.quantize(D("1e-12")) for unit, amount in case.lines.items()
    }
    known = [amount.quantize(D("1e-12")) for amount in case.lines.values() if amount is not None]
    assert quote.amount_usd == (sum(known, D(0)) if case.status in {"priced", "estimated", "partial"} else None)
    assert not case.issue or any(issue.startswith(case.issue) for issue in quote.issues), quote.issues
