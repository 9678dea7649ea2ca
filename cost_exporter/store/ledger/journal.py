"""Append to the journal: changes after a result was final, and the earlier content.

A posting of a record has both sides, so that a reader of the journal can take back the old one and add the new
one without looking anywhere else. It is written in the transaction of the change.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.domain.span import Call
from cost_exporter.store.codec.arrays import BoolArray, Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.codec.fact_json import compact_json, quantities_json
from cost_exporter.store.codec.quote_json import billed_json, decision_json
from cost_exporter.store.codec.record_columns import fact_json
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.closings import Closings
from cost_exporter.store.ledger.write_set import RecordChange, Revision, WriteSet, decision_of

__all__ = ["write_journal"]

Cursor = psycopg.Cursor[tuple[Any, ...]]
Value = TypeVar("Value")


def write_journal(cursor: Cursor, write_set: WriteSet, closings: Closings) -> None:
    """Append what these changes replace, and what they do to workflows that were final and to closed periods."""
    if write_set.revisions:
        _write_contents(cursor, write_set.revisions)
    if write_set.amendments:
        _write_amendments(cursor, write_set)
    corrections = _corrections(write_set, closings)
    if corrections:
        cursor.execute(statement("insert_corrections"), _correction_parameters(corrections))
    sides = [side for each in corrections for side in _closed_sides(each)]
    if sides:
        cursor.execute(statement("insert_closed_sides"), _side_parameters(sides))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Correction:
    """A record before and after; None where there was none, or is none any more."""

    kind: str
    """`record` where it was final; `closed` where it was not, and a period that it is or was in is closed."""
    reason: str
    namespace: str
    before: CostRecord | None
    now: CostRecord | None
    old_closing_id: int | None = None
    new_closing_id: int | None = None

    @property
    def call(self) -> Call:
        """The call, as it is stored now or was stored."""
        record = self.now or self.before
        assert record is not None
        return record.call


def _corrections(write_set: WriteSet, closings: Closings) -> list[_Correction]:
    final = write_set.final_traces
    if not final and not closings:
        return []
    found = [(each, each.before, each.record) for each in write_set.changes]
    found += [(each, each.record, None) for each in write_set.removals]
    corrections: list[_Correction] = []
    for each, before, now in found:
        is_final = (each.record.call.trace_id, each.namespace) in final
        old_closing_id, new_closing_id = closings.of(before), closings.of(now)
        if is_final or old_closing_id is not None or new_closing_id is not None:
            correction = _Correction(
                kind="record" if is_final else "closed",
                reason="settled" if now is None else _reason(each, write_set),
                namespace=each.namespace,
                before=before,
                now=now,
                old_closing_id=old_closing_id,
                new_closing_id=new_closing_id,
            )
            corrections.append(correction)
    return corrections


def _reason(change: RecordChange, write_set: WriteSet) -> str:
    """Return why a record changed."""
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
        "kind": TextArray.of([each.kind for each in corrections]),
        "reason": TextArray.of([each.reason for each in corrections]),
        "namespace": TextArray.of([each.namespace for each in corrections]),
        "trace_id": UuidArray.of([call.trace_id for call in calls]),
        "span_id": Int8Array.of_ids([call.span_id for call in calls]),
        **_side("old", [each.before for each in corrections]),
        **_side("new", [each.now for each in corrections]),
        "old_quote": TextArray.of([_quote(each, each.before) for each in corrections]),
        "new_quote": TextArray.of([_quote(each, each.now) for each in corrections]),
    }


def _quote(correction: _Correction, record: CostRecord | None) -> str | None:
    """Return what exports take from a side. Nothing takes over what was not final."""
    return None if record is None or correction.kind != "record" else billed_json(record)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClosedSide:
    """One side of a posting, in a closed period."""

    namespace: str
    record: CostRecord
    closing_id: int
    is_reversal: bool


def _closed_sides(correction: _Correction) -> Iterator[_ClosedSide]:
    sides = (correction.before, correction.old_closing_id, True), (correction.now, correction.new_closing_id, False)
    for record, closing_id, is_reversal in sides:
        if record is not None and closing_id is not None:
            yield _ClosedSide(
                namespace=correction.namespace, record=record, closing_id=closing_id, is_reversal=is_reversal
            )


def _side_parameters(sides: Sequence[_ClosedSide]) -> dict[str, Any]:
    calls = [each.record.call for each in sides]
    return {
        "namespace": TextArray.of([each.namespace for each in sides]),
        "trace_id": UuidArray.of([call.trace_id for call in calls]),
        "span_id": Int8Array.of_ids([call.span_id for call in calls]),
        "is_reversal": BoolArray.of([each.is_reversal for each in sides]),
        "closing_id": Int8Array.of([each.closing_id for each in sides]),
        "tenant_id": TextArray.of([each.record.tenant for each in sides]),
        "cost_usd": TextArray.of([_cost(each.record) for each in sides]),
        "unpriced_count": Int8Array.of([_unpriced_count(each.record) for each in sides]),
        "quote": TextArray.of([billed_json(each.record) for each in sides]),
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
