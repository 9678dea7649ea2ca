"""Append to the journal: changes after a result was final, and the earlier content.

A posting of a record has both sides, so that a reader of the journal can take back the old one and add the new
one without looking anywhere else. It is written in the transaction of the change.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.domain.span import Call
from cost_exporter.store.codec.arrays import Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.codec.fact_json import compact_json, quantities_json
from cost_exporter.store.codec.quote_json import decision_json
from cost_exporter.store.codec.record_columns import fact_json
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.write_set import RecordChange, Revision, WriteSet, decision_of

__all__ = ["write_journal"]

Cursor = psycopg.Cursor[tuple[Any, ...]]
Value = TypeVar("Value")


def write_journal(cursor: Cursor, write_set: WriteSet) -> None:
    """Append what these changes replace, and what they do to workflows that were final."""
    if write_set.revisions:
        _write_contents(cursor, write_set.revisions)
    if write_set.amendments:
        _write_amendments(cursor, write_set)
    corrections = _corrections(write_set)
    if corrections:
        cursor.execute(statement("insert_corrections"), _correction_parameters(corrections))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Correction:
    """A final record before and after; None where there was none, or is none any more."""

    reason: str
    namespace: str
    before: CostRecord | None
    now: CostRecord | None

    @property
    def call(self) -> Call:
        """The call, as it is stored now or was stored."""
        record = self.now or self.before
        assert record is not None
        return record.call


def _corrections(write_set: WriteSet) -> list[_Correction]:
    final = write_set.final_traces
    changed = [
        _Correction(reason=_reason(each, write_set), namespace=each.namespace, before=each.before, now=each.record)
        for each in write_set.changes
        if (each.record.call.trace_id, each.namespace) in final
    ]
    removed = [
        _Correction(reason="settled", namespace=each.namespace, before=each.record, now=None)
        for each in write_set.removals
        if (each.record.call.trace_id, each.namespace) in final
    ]
    return changed + removed


def _reason(change: RecordChange, write_set: WriteSet) -> str:
    """Return why a final record changed."""
    record, before = change.record, change.before
    if write_set.reason:
        return write_set.reason
    if before is None:
        return "late"
    if before.call is not record.call:
        return "conflict"
    if decision_of(before) != decision_of(record):
        is_parted = (record.call.trace_id, change.namespace) in write_set.parted_traces
        return "unjoined" if is_parted else "settled"
    if (before.tenant, _labels_json(before)) != (record.tenant, _labels_json(record)):
        return "attribution"
    return "settled"


def _correction_parameters(corrections: Sequence[_Correction]) -> dict[str, Any]:
    calls = [each.call for each in corrections]
    return {
        "reason": TextArray.of([each.reason for each in corrections]),
        "namespace": TextArray.of([each.namespace for each in corrections]),
        "trace_id": UuidArray.of([call.trace_id for call in calls]),
        "span_id": Int8Array.of_ids([call.span_id for call in calls]),
        **_side("old", [each.before for each in corrections]),
        **_side("new", [each.now for each in corrections]),
    }


def _side(side: str, records: Sequence[CostRecord | None]) -> dict[str, Any]:
    """Return one array a column of the old or the new side."""

    def column(of: Callable[[CostRecord], Value]) -> list[Value | None]:
        return [None if record is None else of(record) for record in records]

    return {
        f"{side}_tenant_id": TextArray.of([None if each is None else each.tenant for each in records]),
        f"{side}_status": TextArray.of([None if each is None else each.status for each in records]),
        f"{side}_cost_usd": TextArray.of([None if each is None else _cost(each) for each in records]),
        f"{side}_unpriced_count": Int8Array.of(column(_unpriced_count)),
        f"{side}_started_at": TimestampArray.of_unix_us(column(_started_us)),
        f"{side}_quantities": TextArray.of(column(_quantities_json)),
        f"{side}_labels": TextArray.of(column(_labels_json)),
    }


def _unpriced_count(record: CostRecord) -> int:
    return int(is_unpriced(record.status))


def _started_us(record: CostRecord) -> int:
    return record.call.started_at_unix_ns // 1000


def _quantities_json(record: CostRecord) -> str:
    return quantities_json(record.quantities)


def _cost(record: CostRecord) -> str | None:
    return None if record.cost_usd is None else str(record.cost_usd)


def _labels_json(record: CostRecord) -> str:
    """Return under what a record is counted and reported."""
    usage, words = record.call.usage, record.attribution
    labels = {
        "category": record.category,
        "leg": record.leg,
        "operation": usage.operation,
        "provider": usage.provider,
        "model": record.model,
        "task": words.task,
        "tier": words.tier,
        "user_id": words.user,
        "api_key_id": words.api_key,
    }
    return compact_json({name: word for name, word in labels.items() if word is not None})


def _write_contents(cursor: Cursor, revisions: Sequence[Revision]) -> None:
    calls = [each.call for each in revisions]
    contents = [_content(each) for each in revisions]
    hashes = [_hash(each, content) for each, content in zip(revisions, contents, strict=True)]
    cursor.execute(
        statement("insert_revisions"),
        {
            "namespace": TextArray.of([each.namespace for each in revisions]),
            "tenant_id": TextArray.of([each.tenant for each in revisions]),
            "trace_id": UuidArray.of([call.trace_id for call in calls]),
            "span_id": Int8Array.of_ids([call.span_id for call in calls]),
            "reason": TextArray.of([each.reason for each in revisions]),
            "content_hash": Int8Array.of(hashes),
            "content": TextArray.of(contents),
        },
    )


def _content(revision: Revision) -> str:
    if revision.before is not None:
        return decision_json(revision.before)
    return revision.content or fact_json(revision.call)


def _hash(revision: Revision, content: str) -> int:
    """Return the hash that identifies a revision of a span: of its content, or of the decision if only that changed."""
    if revision.before is None:
        return revision.call.content_hash
    digest = hashlib.blake2b(content.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _write_amendments(cursor: Cursor, write_set: WriteSet) -> None:
    rows = write_set.amendments
    cursor.execute(
        statement("insert_amendments"),
        {
            "reason": TextArray.of([write_set.reason or "late"] * len(rows)),
            "namespace": TextArray.of([row.key[1] for row in rows]),
            "tenant_id": TextArray.of([row.tenant for row in rows]),
            "trace_id": UuidArray.of([row.key[0] for row in rows]),
            "span_count": Int8Array.of([row.span_count for row in rows]),
            "before_usd": TextArray.of([str(row.before_usd) for row in rows]),
            "after_usd": TextArray.of([str(row.after_usd) for row in rows]),
            "before_unpriced": Int8Array.of([row.before_unpriced for row in rows]),
            "after_unpriced": Int8Array.of([row.after_unpriced for row in rows]),
        },
    )
