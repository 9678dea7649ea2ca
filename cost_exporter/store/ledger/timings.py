"""Keep what spans say of time and turns, beside the records and within the same transaction."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.timing import Timing
from cost_exporter.store.codec.arrays import DateArray, Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.database.statements import statement

__all__ = ["write_timings"]


def write_timings(connection: psycopg.Connection[Any], batches: Sequence[Facts], bucket_day: int) -> None:
    """Write the timings of some requests; nothing where there are none, as in most of them."""
    found: dict[tuple[bytes, bytes, str], tuple[Timing, str]] = {}
    for batch in batches:
        for each in batch.timings:
            tenant = (batch.tenant_is_trusted and each.tenant) or batch.namespace
            found[each.trace_id, each.span_id, batch.namespace] = each, tenant
    if not found:
        return
    rows = sorted(found.items())
    timings = [timing for _, (timing, _) in rows]
    connection.execute(
        statement("insert_timings"),
        {
            "trace_id": UuidArray.of([key[0] for key, _ in rows]),
            "span_id": Int8Array.of_ids([key[1] for key, _ in rows]),
            "namespace": TextArray.of([key[2] for key, _ in rows]),
            "bucket": DateArray.of_unix_days([bucket_day] * len(rows)),
            "tenant_id": TextArray.of([tenant for _, (_, tenant) in rows]),
            "started_at": TimestampArray.of_unix_us([each.started_at_unix_ns // 1000 for each in timings]),
            "service_name": TextArray.of([each.service_name for each in timings]),
            "provider": TextArray.of([each.provider for each in timings]),
            "model": TextArray.of([each.model for each in timings]),
            "operation": TextArray.of([each.operation for each in timings]),
            "time_to_first_token_seconds": _texts([each.time_to_first_token_seconds for each in timings]),
            "time_to_first_audio_seconds": _texts([each.time_to_first_audio_seconds for each in timings]),
            "turn_count": Int8Array.of([each.turn_count for each in timings]),
            "interruption_count": Int8Array.of([each.interruption_count for each in timings]),
            "dead_air_seconds": _texts([each.dead_air_seconds for each in timings]),
        },
    )


def _texts(amounts: Sequence[Decimal | None]) -> TextArray:
    return TextArray.of([None if each is None else str(each) for each in amounts])
