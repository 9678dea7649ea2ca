"""Cost record: one provider call, judged: who pays, whether it is billed, and what it costs, line by line."""

from decimal import Decimal
from typing import Final, Literal

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.money import ZERO
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.quote import Line, Quote, Status
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.domain.value import fills, new, value

__all__ = ["DEFAULT_TENANT", "LEGS", "UNCATEGORISED", "CostRecord", "Leg", "billed_record", "leg_of"]

DEFAULT_TENANT: Final = "default"
UNCATEGORISED: Final = "uncategorised"

Leg = Literal["llm", "tts", "stt", "telephony", "vector", "other"]
LEGS: Final[tuple[Leg, ...]] = ("llm", "tts", "stt", "telephony", "vector", "other")
_LEG_BY_OPERATION: Final[dict[str, Leg]] = {
    "chat": "llm",
    "generate_content": "llm",
    "text_completion": "llm",
    "embeddings": "llm",
    "text_to_speech": "tts",
    "speech_to_text": "stt",
    "phone_call": "telephony",
    "text_message": "telephony",
    "retrieval": "vector",
}


def leg_of(operation: str) -> Leg:
    """Return the part of a call that an operation belongs to."""
    return _LEG_BY_OPERATION.get(operation, "other")


@value
class CostRecord:
    """One provider call as it is kept and reported."""

    call: Call
    """The fact this record was made from."""
    tenant: str
    category: str
    attribution: Attribution
    """Resolved along the trace; tenant and category stand above with their defaults."""
    quantities: Quantities
    """As billed: those of the call, unless a better figure for the same call amended them."""
    session_before: Quantities | None = None
    """What the same session consumed before, for a delta that is not its first."""
    status: Status
    cost_usd: Decimal | None
    """None where unknown and for duplicates; for `partial` the known part."""
    lines: tuple[Line, ...] = ()
    issues: tuple[str, ...] = ()
    """Of reading, of judging and of the quote, in this order."""
    quote_issues: tuple[str, ...] = ()
    """Issues of the quote alone, so that a stored quote can be reused unchanged."""
    duplicate_of: bytes | None = None
    """span id of the record that is billed instead."""
    duplicate_trace_id: bytes | None = None
    """Its trace, where that is another one."""
    book_version: str = ""
    amended_model: str = ""
    """What another span of the same call names as its model; "" where the call's own span names it."""

    @property
    def model(self) -> str:
        """The model that is billed."""
        return self.amended_model or self.call.usage.model

    @property
    def quote(self) -> Quote:
        """The quote that the record was made with."""
        return Quote(
            amount_usd=self.cost_usd,
            status=self.status,
            lines=self.lines,
            issues=self.quote_issues,
            book_version=self.book_version,
        )

    @property
    def leg(self) -> Leg:
        """The part of the call this record belongs to."""
        return leg_of(self.call.usage.operation)

    @property
    def known_cost_usd(self) -> Decimal:
        """What the record adds to a total: its cost, or nothing where that is unknown."""
        return ZERO if self.cost_usd is None else self.cost_usd


@fills(CostRecord)
def billed_record(
    *,
    call: Call,
    tenant: str,
    category: str,
    attribution: Attribution,
    usage: UsageRecord,
    quote: Quote,
    issues: tuple[str, ...],
    amended_model: str,
) -> CostRecord:
    """Return the record of a call that is billed: for this usage, at this quote. Every call takes this path."""
    record = new(CostRecord)
    record.call = call
    record.tenant = tenant
    record.category = category
    record.attribution = attribution
    record.quantities = usage.quantities
    record.session_before = usage.session_before
    record.status = quote.status
    record.cost_usd = quote.amount_usd
    record.lines = quote.lines
    record.issues = issues
    record.quote_issues = quote.issues
    record.duplicate_of = None
    record.duplicate_trace_id = None
    record.book_version = quote.book_version
    record.amended_model = amended_model
    return record
