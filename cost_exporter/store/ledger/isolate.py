"""Find the one span that spoils a batch: divide it, and make dead letters of what cannot be stored.

A batch is one transaction, so a single value that PostgreSQL or the engine refuses would stop its neighbours
too. Which errors mean the content and which mean the database is decided here. In doubt it is the database: then
the senders keep their spans, while what is blamed on the content is acknowledged.
"""

import re
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from cost_exporter.domain.facts import DeadLetter, Facts, OutgoingSpan, Receipt
from cost_exporter.domain.span import Call, Link
from cost_exporter.store.codec.call_json import call_payload

__all__ = [
    "Isolated",
    "describe",
    "halves",
    "is_content_error",
    "is_missing_partition",
    "letters_of",
    "sum_of",
    "without_traces",
]

_CONTENT_ERRORS: Final = (
    ArithmeticError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    RecursionError,
    struct.error,
)
_VALUE_ERRORS: Final = (
    psycopg.DataError,
    # A row that no index can hold: several names near the longest that are kept. PostgreSQL calls it operational.
    psycopg.errors.ProgramLimitExceeded,
)
_NO_VALUE_ERRORS: Final = (psycopg.errors.InvalidParameterValue,)
"""Of class 22 too, but raised for settings and by triggers."""
_CONTENT_CHECK: Final = re.compile(
    r"(?:record|trace|trace_join|workflow_rollup|workflow_total|daily_rollup|hourly_rollup|spend_rollup|journal|dead_letter)_\w*check\d*"
    r"|cost_known_when_billed|only_duplicates_name_a_winner|duplicates_have_no_lines"
)
"""The checks of values, by name. There are others, such as that of a partition, which no content can break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """The fault is in the only span of this batch. `remainder` is the batch without it."""

    remainder: Facts


def is_content_error(error: BaseException) -> bool:
    """Return whether the content is to blame: trying again cannot help, trying without it does."""
    if isinstance(error, psycopg.errors.CheckViolation):
        is_ours = error.diag.schema_name == "callfare"
        return is_ours and _CONTENT_CHECK.fullmatch(error.diag.constraint_name or "") is not None
    if isinstance(error, psycopg.Error):
        return isinstance(error, _VALUE_ERRORS) and not isinstance(error, _NO_VALUE_ERRORS)
    return isinstance(error, _CONTENT_ERRORS)


def is_missing_partition(error: BaseException) -> bool:
    """Return whether a record has no partition to go to. PostgreSQL calls that a check without a name."""
    return (
        isinstance(error, psycopg.errors.CheckViolation)
        and (error.diag.schema_name, error.diag.table_name) == ("callfare", "record")
        and not error.diag.constraint_name
    )


def halves(batch: Facts) -> tuple[Facts, Facts] | Isolated:
    """Divide a request: by its traces, then calls from links, then one by one. A single span is `Isolated`."""
    traces = sorted({each.trace_id for each in (*batch.calls, *batch.links)})
    calls, links = list(batch.calls), list(batch.links)
    if len(traces) > 1:
        chosen = frozenset(traces[: len(traces) // 2])
        return (
            _part(
                batch,
                [call for call in calls if call.trace_id in chosen],
                [link for link in links if link.trace_id in chosen],
                is_first=True,
            ),
            _part(
                batch,
                [call for call in calls if call.trace_id not in chosen],
                [link for link in links if link.trace_id not in chosen],
                is_first=False,
            ),
        )
    if calls and links:
        return _part(batch, calls, [], is_first=True), _part(batch, [], links, is_first=False)
    if len(calls) + len(links) > 1:
        middle = (len(calls) + len(links)) // 2
        first = _part(batch, calls[:middle], links[:middle], is_first=True)
        return first, _part(batch, calls[middle:], links[middle:], is_first=False)
    return Isolated(remainder=_part(batch, [], [], is_first=True))


def without_traces(batch: Facts, trace_ids: Collection[bytes]) -> Facts:
    """Return a request without the spans of some traces."""
    calls = [call for call in batch.calls if call.trace_id not in trace_ids]
    return _part(batch, calls, [link for link in batch.links if link.trace_id not in trace_ids], is_first=True)


def letters_of(batch: Facts, error: BaseException) -> list[DeadLetter]:
    """Return the dead letters of calls that cannot be stored. A link that cannot be stored is only lost."""
    return [
        DeadLetter(
            reason="our_fault",
            detail=describe(error),
            trace_id=call.trace_id,
            span_id=call.span_id,
            payload=_payload(call, batch.outgoing.get((call.trace_id, call.span_id))),
        )
        for call in batch.calls
    ]


def describe(error: BaseException) -> str:
    """Return an error in one line without its text, in which PostgreSQL quotes the values."""
    diagnosis: Any = getattr(error, "diag", None)
    parts = [getattr(error, "sqlstate", None), getattr(diagnosis, "constraint_name", None)]
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    if where is not None and not any(parts):
        parts.append(f"in {where.tb_frame.f_code.co_name}")
    return " ".join([type(error).__name__, *(str(part) for part in parts if part)])


def sum_of(receipts: Iterable[Receipt]) -> Receipt:
    """Return what became of the parts of one request, together."""
    all_receipts = list(receipts)
    counts: Mapping[str, int] = {
        name: sum(getattr(each, name) for each in all_receipts)
        for name in ("received", "accepted", "duplicate", "conflict", "ignored", "dead_letter")
    }
    return Receipt(**counts)


def _part(batch: Facts, calls: Sequence[Call], links: Sequence[Link], *, is_first: bool) -> Facts:
    """Return the part with these spans. What belongs to no trace goes with the first."""
    keys = {(link.trace_id, link.span_id) for link in links}
    spans = keys | {(call.trace_id, call.span_id) for call in calls}
    return Facts(
        namespace=batch.namespace,
        received_at_unix_ns=batch.received_at_unix_ns,
        tenant_is_trusted=batch.tenant_is_trusted,
        calls=calls,
        links=links,
        look_alikes=[each for each in batch.look_alikes if (each.trace_id, each.span_id) in keys],
        timings=[each for each in batch.timings if (each.trace_id, each.span_id) in spans],
        outgoing=batch.outgoing,
        dead_letters=batch.dead_letters if is_first else (),
        ignored_count=batch.ignored_count if is_first else 0,
        tenant_claims_ignored_count=batch.tenant_claims_ignored_count if is_first else 0,
    )


def _payload(call: Call, outgoing: OutgoingSpan | None) -> bytes:
    try:
        return call_payload(call, outgoing)
    except Exception:  # noqa: BLE001 - a call so broken that it cannot even be written down is still counted
        return b""
