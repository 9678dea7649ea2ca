"""Read one span as a provider call: which operation, who was asked, what was used, how it ended.

A span is a call if it names an operation that providers bill, even where its usage is missing: that is
`no_usage`, and never dropped. A span that names none is a call only if it brings usage, or a model on a client
span. Everything else only links other spans.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.read.content_hash import content_hash
from cost_exporter.read.costs import NO_COST, stated_cost
from cost_exporter.read.failure import failure_of
from cost_exporter.read.names import Names, names_of, tier_named
from cost_exporter.read.operations import WRAPPER, operation_named
from cost_exporter.read.origin import Origin
from cost_exporter.read.quantities import mend_quantities, read_quantities
from cost_exporter.read.reading import NO_KEYS, Draft, Reading
from cost_exporter.read.times import Times

__all__ = ["SpanPlace", "read_call"]

_CLIENT: Final = 3
_GUESSES: Final = (
    ("characters", "text_to_speech"),
    ("audio_seconds", "speech_to_text"),
    ("call_seconds", "phone_call"),
    ("read_units", "retrieval"),
)


class SpanPlace(NamedTuple):
    """Where a span stands: its ids, its times, and on whose account it goes."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    times: Times
    attribution: Attribution
    origin: Origin


class _Session(NamedTuple):
    session_id: str = ""
    sequence: int | None = None
    is_closed: bool = False
    vendor_total_seconds: Decimal | None = None


_NO_SESSION: Final = _Session()


def read_call(reading: Reading, place: SpanPlace, trusted_cost_sources: frozenset[str]) -> Call | None:
    """Return the call a span tells of, or None if it tells of none."""
    operation = _operation(reading)
    if operation == WRAPPER:
        return None
    draft = Draft(operation, place.times.started_at_unix_ns)
    read_quantities(reading, draft)
    _read_names(reading, draft)
    reading.plan.dialect.complete(reading, draft)
    names = names_of(draft.provider, draft.response_model, draft.request_model, draft.host)
    mend_quantities(reading, draft, names.provider, names.model)
    return _call(reading, draft, names, place, trusted_cost_sources)


def _operation(reading: Reading) -> str:
    plan = reading.plan
    operation = plan.dialect.operation(reading)
    if operation is not None:
        return operation
    stated = reading.first_text(plan.texts.get("operation", NO_KEYS))
    if stated:
        return operation_named(stated, has_usage=bool(plan.quantities))
    return _guessed_operation(reading)


def _guessed_operation(reading: Reading) -> str:
    """Return the operation of a span that names none, by what it used; a bare model counts on client spans."""
    plan = reading.plan
    used = {quantity for quantity, _, _ in plan.quantities}
    if "phone_call_id" in plan.texts:
        guess = "phone_call"
    elif used:
        guess = next((operation for quantity, operation in _GUESSES if quantity in used), "chat")
    elif reading.span.kind == _CLIENT and ("request_model" in plan.texts or "response_model" in plan.texts):
        guess = "chat"
    else:
        return WRAPPER
    reading.issues.append("assumed_operation")
    return guess


def _read_names(reading: Reading, draft: Draft) -> None:
    get = reading.plan.texts.get
    draft.provider = reading.first_text(get("provider", NO_KEYS))
    draft.response_model = reading.first_text(get("response_model", NO_KEYS))
    draft.request_model = reading.first_text(get("request_model", NO_KEYS))
    draft.response_id = reading.first_text(get("response_id", NO_KEYS))
    draft.service_tier = reading.first_text(get("service_tier", NO_KEYS))
    draft.host = reading.first_text(get("host", NO_KEYS))
    if "is_stream" in reading.plan.flags:
        draft.is_stream = reading.first_flag(reading.plan.flags["is_stream"])


def _call(reading: Reading, draft: Draft, names: Names, place: SpanPlace, trusted_cost_sources: frozenset[str]) -> Call:
    plan = reading.plan
    failure = failure_of(reading, draft)
    cost = NO_COST
    if plan.costs or draft.reported_cost is not None:
        cost = stated_cost(reading, draft, names.provider, trusted_cost_sources)
    session = _session(reading) if "session_id" in plan.texts else _NO_SESSION
    call_id = _call_id(reading, draft, names)
    service_tier = tier_named(draft.service_tier) if draft.service_tier else ""
    mode = _mode(draft, service_tier, session)
    is_estimated = draft.is_estimated or (
        "source" in plan.texts and reading.first_text(plan.texts["source"]) == "estimated"
    )
    is_billable = "is_billable" not in plan.flags or reading.first_flag(plan.flags["is_billable"]) is not False
    hashed = content_hash(
        (
            place[:3],
            reading.span.start_time_unix_nano,
            reading.span.end_time_unix_nano,
            place.attribution,
            place.origin,
            reading.scope.name,
            draft.operation,
            names,
            draft.quantities,
            (call_id, service_tier, mode, is_estimated, is_billable),
            (failure.error_type, failure.has_failed, failure.is_refused),
            session,
            (cost.amount_usd, cost.source),
            reading.issues,
        )
    )
    if not place.times.are_as_sent:
        reading.issues.append("implausible_start")
    return Call(
        trace_id=place.trace_id,
        span_id=place.span_id,
        parent_span_id=place.parent_span_id,
        started_at_unix_ns=draft.started_at_unix_ns,
        ended_at_unix_ns=place.times.ended_at_unix_ns,
        usage=UsageRecord(
            provider=names.provider,
            model=names.model,
            request_model=names.request_model,
            operation=draft.operation,
            quantities=draft.quantities,
            at_unix_ns=draft.started_at_unix_ns,
            service_tier=service_tier,
            mode=mode,
            region=names.region,
            base_url=names.host,
            is_refused=failure.is_refused,
            has_failed=failure.has_failed,
            is_estimated=is_estimated,
            vendor_cost_usd=cost.amount_usd if cost.is_trusted else None,
        ),
        attribution=place.attribution,
        resource_attribution=place.origin.attribution,
        service_name=place.origin.service_name,
        scope=reading.scope.name,
        detail=reading.scope.rule.detail,
        is_billable=is_billable,
        call_id=call_id,
        session_id=session.session_id,
        session_sequence=session.sequence,
        session_is_closed=session.is_closed,
        session_vendor_total_seconds=session.vendor_total_seconds,
        reported_cost_usd=cost.amount_usd,
        reported_cost_source=cost.source,
        error_type=failure.error_type,
        issues=tuple(reading.issues),
        content_hash=hashed,
    )


def _call_id(reading: Reading, draft: Draft, names: Names) -> str:
    if "phone_call_id" in reading.plan.texts:
        phone_call_id = reading.first_text(reading.plan.texts["phone_call_id"])
        if phone_call_id:
            return f"phone:{phone_call_id}"
    if draft.response_id and not (reading.scope.rule.has_own_ids and names.provider != "openai"):
        return f"response:{draft.response_id}"
    return ""


def _mode(draft: Draft, service_tier: str, session: _Session) -> str:
    """Return stream or batch where that is known; a transcription that is known not to be live is batch."""
    if service_tier == "batch":
        return "batch"
    if draft.is_stream or session.session_id:
        return "stream"
    return "batch" if draft.is_stream is False and draft.operation == "speech_to_text" else ""


def _session(reading: Reading) -> _Session:
    """Return which delta of which long socket a span is."""
    texts, numbers = reading.plan.texts, reading.plan.numbers
    session_id = reading.first_text(texts["session_id"])
    if not session_id:
        return _NO_SESSION
    sequence = reading.first_count(numbers.get("session_sequence", NO_KEYS))
    total = reading.first_number(numbers.get("session_vendor_total_seconds", NO_KEYS))
    return _Session(
        session_id=session_id,
        sequence=sequence if isinstance(sequence, int) and sequence >= 0 else None,
        is_closed=reading.first_text(texts.get("session_state", NO_KEYS)) == "closed",
        vendor_total_seconds=None if total is None or total < 0 else Decimal(total),
    )
