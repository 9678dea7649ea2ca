"""Spans of calls that a budget reserved for: what arrives is spent now, and held no longer.

Both move in the transaction that stores the span, so nobody ever sees the money twice or not at all. An id counts only
where it was given to the same credential; with any other it is a word that a span carries.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.store.codec.arrays import Int8Array, TextArray, UuidArray
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.write_set import RecordChange, WriteSet

__all__ = ["write_arrivals"]

_NS_PER_SECOND: Final = 1_000_000_000
_US_PER_SECOND: Final = 1_000_000


class _Arrival(NamedTuple):
    """By how much a reservation moves."""

    arrived_usd: Decimal = ZERO
    priced_count: int = 0
    unpriced_count: int = 0
    lag_seconds: int = 0


_NOTHING: Final = _Arrival()


def write_arrivals(cursor: psycopg.Cursor[tuple[Any, ...]], write_set: WriteSet) -> None:
    """Count what arrived, by reservation. Costs nothing where no span names one."""
    moves: dict[tuple[str, str], _Arrival] = {}
    for change in write_set.changes:
        _add(moves, change, change.record, 1)
        if change.before is not None:
            _add(moves, change, change.before, -1)
    for change in write_set.removals:
        _add(moves, change, change.record, -1)
    rows = sorted(_moved(moves.items()))
    if not rows:
        return
    arrivals = [arrival for _, arrival in rows]
    cursor.execute(
        statement("count_arrivals"),
        {
            "reservation_id": UuidArray.of([bytes.fromhex(reservation_id) for (reservation_id, _), _ in rows]),
            "namespace": TextArray.of([namespace for (_, namespace), _ in rows]),
            "arrived_usd": TextArray.of([str(each.arrived_usd) for each in arrivals]),
            "priced_count": Int8Array.of([each.priced_count for each in arrivals]),
            "unpriced_count": Int8Array.of([each.unpriced_count for each in arrivals]),
            "lag_seconds": Int8Array.of([each.lag_seconds for each in arrivals]),
        },
    )


def _add(moves: dict[tuple[str, str], _Arrival], change: RecordChange, record: CostRecord, sign: int) -> None:
    call = record.call
    if not call.reservation_id or record.status == "duplicate":
        return
    known = moves.get((call.reservation_id, change.namespace), _NOTHING)
    cost_usd = record.known_cost_usd if sign > 0 else CONTEXT.minus(record.known_cost_usd)
    unpriced_count = sign if is_unpriced(record.status) else 0
    lag_seconds = change.received_at_us // _US_PER_SECOND - call.ended_at_unix_ns // _NS_PER_SECOND
    moves[call.reservation_id, change.namespace] = _Arrival(
        CONTEXT.add(known.arrived_usd, cost_usd),
        known.priced_count + sign - unpriced_count,
        known.unpriced_count + unpriced_count,
        max(known.lag_seconds, min(lag_seconds, 2**31 - 1)),
    )


def _moved(
    moves: Iterable[tuple[tuple[str, str], _Arrival]],
) -> Iterable[tuple[tuple[str, str], _Arrival]]:
    return (each for each in moves if each[1][:3] != _NOTHING[:3])
