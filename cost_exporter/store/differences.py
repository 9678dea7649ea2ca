"""What `verify --deep` finds: one thing that is stored otherwise than it follows from the rest, and how it is shown."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quote import Line
from cost_exporter.store.ledger.trace_state import TraceKey

__all__ = ["Difference", "difference", "place_of_line", "span_key", "text", "trace_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is stored otherwise than it follows from the rest, in the shape of `integrity_check`."""

    problem: str
    tenant: str
    key: dict[str, str]
    expected: dict[str, str | None]
    found: dict[str, str | None]

    def as_row(self) -> dict[str, Any]:
        """Return it under the names of the columns of `integrity_check`."""
        return {
            "problem": self.problem,
            "tenant_id": self.tenant,
            "key": self.key,
            "expected": self.expected,
            "found": self.found,
        }


def difference(  # noqa: PLR0917 - one of each, in the order in which it is read
    problem: str, tenant: str, key: dict[str, str], name: str, expected: object, found: object
) -> Difference:
    """Return a difference of one column."""
    return Difference(
        problem=problem, tenant=tenant, key=key, expected={name: text(expected)}, found={name: text(found)}
    )


def trace_key(key: TraceKey) -> dict[str, str]:
    """Return the key of a trace, to be shown."""
    return {"namespace": key[1], "trace_id": key[0].hex()}


def span_key(namespace: str, record: CostRecord) -> dict[str, str]:
    """Return the key of a record, to be shown."""
    return {**trace_key((record.call.trace_id, namespace)), "span_id": record.call.span_id.hex()}


def text(content: object) -> str | None:
    """Return what a column holds, to be shown."""
    if content is None:
        return None
    if isinstance(content, bytes):
        return content.hex()
    if isinstance(content, tuple):
        return "; ".join(_line_text(each) if isinstance(each, Line) else str(each) for each in content)
    return str(content)


def place_of_line(line: Line) -> tuple[str, str, Decimal]:
    """Return by what lines are ordered to be compared."""
    return line.unit, line.price_id, line.quantity


def _line_text(line: Line) -> str:
    price = "no price" if line.unit_price_usd is None else f"{to_plain(line.unit_price_usd)} per {line.per}"
    amount = "unpriced" if line.amount_usd is None else to_plain(line.amount_usd)
    return f"{to_plain(line.quantity)} {line.unit} at {price} = {amount}"
