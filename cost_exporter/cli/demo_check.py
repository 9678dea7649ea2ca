"""Compare what the demo recorded with what the fakes of its vendors received. What a vendor received, it bills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cost_exporter.cli.demo_app.vendors import FakeVendors

__all__ = ["Compared", "compared", "difference_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One quantity, as the vendor's fake counted it and as the records have it."""

    name: str
    """Whose quantity, with its unit."""
    received: Decimal
    quantity: Decimal
    """As recorded."""


def compared(records: Sequence[Row], vendors: FakeVendors) -> list[Compared]:
    """Return every quantity that both sides know. A duplicate is the same call again and not counted."""
    billed = [record for record in records if record["status"] != "duplicate"]
    openai, speech = vendors.openai, vendors.elevenlabs
    return [
        _pair("twilio call_seconds", vendors.twilio.call_seconds, _sum(billed, "twilio", "call_seconds")),
        _pair("deepgram audio_seconds", vendors.deepgram.audio_seconds, _sum(billed, "deepgram", "audio_seconds")),
        _pair("openai requests", openai.request_count, _count(billed, "openai")),
        _pair("openai answers without usage", openai.unreported_count, _count(billed, "openai", status="no_usage")),
        _pair("openai input_tokens", openai.input_tokens, _sum(billed, "openai", "input_tokens")),
        _pair("openai output_tokens", openai.output_tokens, _sum(billed, "openai", "output_tokens")),
        _pair("elevenlabs requests", speech.request_count, _count(billed, "elevenlabs")),
        _pair("elevenlabs characters", speech.characters, _sum(billed, "elevenlabs", "characters")),
    ]


def difference_of(pair: Compared) -> str:
    """Return what is wrong with a quantity, or "" where both sides agree."""
    if pair.received == pair.quantity:
        return ""
    return f"{pair.name} {pair.received} received, {pair.quantity} recorded"


def _pair(name: str, received: Decimal | int, recorded: Decimal | int) -> Compared:
    return Compared(name=name, received=Decimal(received), quantity=Decimal(recorded))


def _sum(records: Sequence[Row], provider: str, quantity: str) -> Decimal:
    amounts = [(record["usage"] or {}).get(quantity) for record in records if record["provider"] == provider]
    return sum((Decimal(str(amount)) for amount in amounts if amount is not None), Decimal(0))


def _count(records: Sequence[Row], provider: str, status: str | None = None) -> int:
    return sum(record["provider"] == provider and status in (None, record["status"]) for record in records)
