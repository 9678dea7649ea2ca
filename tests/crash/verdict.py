"""Compare what the clients know with what the database says, to the last digit."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal as D
from uuid import UUID

import psycopg

from tests.crash.traffic import ClientLedger


def problems(ledgers: Iterable[ClientLedger], database_url: str) -> list[str]:
    """Return everything that is lost, doubled or wrongly summed: nothing, if the service is sound.

    The clients must have come to rest with every batch acknowledged; then the two sides must be equal.
    """
    acknowledged = {key: span for ledger in ledgers for key, span in ledger.acknowledged.items()}
    with psycopg.connect(database_url) as connection:
        records = connection.execute(
            "select trace_id, span_id, cost_usd from callfare.cost_record where status <> 'duplicate'"
        ).fetchall()
        rollups = connection.execute("select trace_id, total_cost_usd from callfare.workflow_cost").fetchall()
        daily = connection.execute("select coalesce(sum(cost_usd), 0) from callfare.daily_cost").fetchone()
        hours = connection.execute("select coalesce(sum(cost_usd), 0) from callfare.hourly_cost").fetchone()
        by_category = connection.execute(
            "select grain, sum(cost_usd) from callfare.spend_by where kind = 'category' group by grain"
        ).fetchall()
        unsound = connection.execute("select problem from callfare.integrity_check").fetchall()
    stored = {(trace_id.bytes, bytes.fromhex(span_id)): cost_usd for trace_id, span_id, cost_usd in records}
    assert daily is not None
    found = [f"record {key[1].hex()} of trace {key[0].hex()} is lost" for key in acknowledged.keys() - stored.keys()]
    found += [f"record {key[1].hex()} was never sent" for key in stored.keys() - acknowledged.keys()]
    if len(records) != len(stored):
        found.append(f"{len(records) - len(stored)} records are doubled")
    found += [
        f"record {key[1].hex()} costs {stored[key]}, not {span.cost_usd}"
        for key, span in acknowledged.items()
        if key in stored and stored[key] != span.cost_usd
    ]
    expected = Counter[bytes]()
    totals: dict[bytes, D] = {}
    for (trace_id, _), cost_usd in stored.items():
        expected[trace_id] += 1
        totals[trace_id] = totals.get(trace_id, D(0)) + cost_usd
    summed: dict[bytes, D] = {}
    for trace_id, cost_usd in rollups:
        assert isinstance(trace_id, UUID)
        summed[trace_id.bytes] = summed.get(trace_id.bytes, D(0)) + cost_usd
    found += [
        f"workflow {trace_id.hex()} sums up to {summed.get(trace_id)}, its records to {totals.get(trace_id)}"
        for trace_id in totals.keys() | summed.keys()
        if summed.get(trace_id) != totals.get(trace_id)
    ]
    if daily[0] != sum(totals.values(), D(0)):
        found.append(f"the days sum up to {daily[0]}, the records to {sum(totals.values(), D(0))}")
    assert hours is not None
    found += [
        f"the {name} sum up to {amount}, the records to {daily[0]}"
        for name, amount in [("hours", hours[0]), *((f"categories by {grain}", each) for grain, each in by_category)]
        if amount != sum(totals.values(), D(0))
    ]
    return found + [f"integrity_check: {problem}" for (problem,) in unsound]
