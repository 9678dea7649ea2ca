"""Read one span as a provider call: which operation, who was asked, what was used, how it ended.

A span is a call if it names an operation that providers bill, even where its usage is missing: that is
`no_usage`, and never dropped. A span that names none is a call only if it brings usage, or a model on a client
span. Everything else only links other spans.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from cost_exporter.domain.attribution import NO_ATTRIBUTION
from cost_exporter.domain.quantity import TOKEN_QUANTITIES
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.read.fields.content_hash import Extras, content_hash, said_beyond
from cost_exporter.read.fields.costs import NO_COST, stated_cost
from cost_exporter.read.fields.failure import failure_of
from cost_exporter.read.fields.identity import words_meaning
from cost_exporter.read.fields.quantities import mend_quantities, read_quantities
from cost_exporter.read.fields.reading import NO_KEYS, Reading, first_text
from cost_exporter.read.fields.vendor_usage import read_containers
from cost_exporter.read.otlp.values import ID_LENGTH_MAX
from cost_exporter.read.unread import name_unread_usage
from cost_exporter.read.vocabulary.operations import WRAPPER
from cost_exporter.read.vocabulary.scopes import EXCLUSIVE_PROVIDERS, ScopeRule

__all__ = ["read_call"]

_CLIENT: Final = 3
_GUESSES: Final = (
    ("characters", "text_to_speech"),
    ("audio_seconds", "speech_to_text"),
    ("call_seconds", "phone_call"),
    ("read_units", "retrieval"),
)


class _Session(NamedTuple):
    session_id: str = ""
    sequence: int | None = None
    is_closed: bool = False
    vendor_total_seconds: Decimal | None = None


_NO_SESSION: Final = _Session()
_NO_PRODUCER: Final[tuple[str, int | None]] = "", None


def read_call(reading: Reading, trusted_cost_sources: frozenset[str]) -> Call | None:
    """Return the call a span tells of, or None if it tells of none."""
    operation = _operation(reading)
    if operation == WRAPPER:
        return None
    reading.operation = operation
    plan = reading.plan
    are_counts_plain = read_quantities(reading)
    if plan.response_id_keys:
        response_id = reading.attributes[plan.response_id_keys[0]].string_value
        if not 0 < len(response_id) <= ID_LENGTH_MAX or not response_id.isprintable():
            response_id = first_text(reading.attributes, plan.response_id_keys)
        reading.response_id = response_id
    if plan.containers:
        read_containers(reading)
    if plan.completes:
        _complete(reading)
    if plan.weighs_totals or not (are_counts_plain and plan.is_plain):
        mend_quantities(reading, are_plain=are_counts_plain)
    if plan.unread or reading.usage_objects or reading.words.redacted:
        name_unread_usage(reading)
    return _call(reading, trusted_cost_sources)


def _operation(reading: Reading) -> str:
    speak = reading.plan.operation
    operation = None if speak is None else speak(reading)
    if operation is None:
        operation = reading.words.operation
    return _guessed_operation(reading) if operation is None else operation


def _guessed_operation(reading: Reading) -> str:
    """Return the operation of a span that names none, by what it used; a bare model counts on client spans."""
    plan = reading.plan
    used = {quantity for quantity, *_ in plan.quantities}
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


def _complete(reading: Reading) -> None:
    """Let the dialect complete the reading, and work its words out anew."""
    words, complete = reading.words, reading.plan.dialect.complete
    reading.provider, reading.service_tier = words.provider, words.service_tier
    reading.response_model, reading.request_model = words.response_model, words.request_model
    reading.is_stream, reading.is_billable = words.is_stream, words.is_billable
    reading.is_estimated = words.is_estimated
    assert complete is not None
    complete(reading)
    reading.words = words_meaning(
        operation=words.operation,
        provider=reading.provider,
        response_model=reading.response_model,
        request_model=reading.request_model,
        service_tier=reading.service_tier,
        address=words.address,
        is_stream=reading.is_stream,
        is_billable=reading.is_billable,
        is_estimated=reading.is_estimated,
        redacted=words.redacted,
    )


def _call(reading: Reading, trusted_cost_sources: frozenset[str]) -> Call:
    words, origin, span = reading.words, reading.origin, reading.span
    names = words.names
    failure = failure_of(reading)
    cost, session, phone_call_id, producer = NO_COST, _NO_SESSION, "", _NO_PRODUCER
    if not reading.plan.is_plain:
        cost = stated_cost(reading, names.provider, trusted_cost_sources)
        session = _session(reading)
        phone_call_id = reading.first_text(reading.plan.texts.get("phone_call_id", NO_KEYS))
        producer = _producer(reading)
    call_id = f"phone:{phone_call_id}" if phone_call_id else _response_call_id(reading, names.provider)
    mode = words.mode if session is _NO_SESSION else words.mode or "stream"
    if words.is_stream is False and reading.operation == "speech_to_text":
        # Recorded rather than streamed. Of tokens, batch is another thing: the cheaper answer within a day.
        mode = mode or ("batch" if TOKEN_QUANTITIES.isdisjoint(reading.quantities) else "")
    rest = ""
    if not reading.plan.is_plain or failure.has_failed or reading.issues or reading.attribution is not NO_ATTRIBUTION:
        extras = Extras(
            phone_call_id=phone_call_id,
            error_type=failure.error_type,
            has_failed=failure.has_failed,
            is_refused=failure.is_refused,
            reported_cost_usd=cost.amount_usd,
            reported_cost_source=cost.source,
            issues=tuple(reading.issues),
        )
        rest = said_beyond(reading.attribution, session, extras)
    hashed = content_hash(
        span.trace_id + span.span_id + (reading.parent_span_id or b""),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        reading.operation,
        reading.quantities,
        words,
        origin,
        reading.scope.name,
        reading.response_id,
        rest,
    )
    if not reading.is_start_plausible:
        reading.issues.append("implausible_start")
    call = Call(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=reading.parent_span_id,
        started_at_unix_ns=reading.started_at_unix_ns,
        ended_at_unix_ns=reading.ended_at_unix_ns,
        usage=UsageRecord(
            provider=names.provider,
            model=names.model,
            request_model=names.request_model,
            operation=reading.operation,
            quantities=reading.quantities,
            at_unix_ns=reading.started_at_unix_ns,
            service_tier=words.tier,
            mode=mode,
            region=names.region,
            base_url=names.host,
            is_refused=failure.is_refused,
            has_failed=failure.has_failed,
            is_estimated=words.is_estimated or reading.has_unread_usage,
            is_incomplete=reading.is_incomplete,
            vendor_cost_usd=cost.amount_usd if cost.is_trusted else None,
        ),
        attribution=reading.attribution,
        resource_attribution=origin.attribution,
        service_name=origin.service_name,
        scope=reading.scope.name,
        detail=reading.scope.rule.detail,
        is_billable=words.is_billable,
        call_id=call_id,
        session_id=session.session_id,
        session_sequence=session.sequence,
        session_is_closed=session.is_closed,
        session_vendor_total_seconds=session.vendor_total_seconds,
        producer_id=producer[0],
        producer_sequence=producer[1],
        reported_cost_usd=cost.amount_usd,
        reported_cost_source=cost.source,
        error_type=failure.error_type,
        issues=tuple(reading.issues),
        content_hash=hashed,
    )
    if reading.plan.has_patterns and _is_pattern(call, reading.scope.rule):
        words.pattern = call
    return call


def _is_pattern(call: Call, rule: ScopeRule) -> bool:
    """Return whether others are copies of it: not where something was mended, or might be on the next span."""
    usage = call.usage
    exclusive_providers = rule.exclusive_providers if rule.is_known else EXCLUSIVE_PROVIDERS
    may_be_mended = (
        usage.operation == "phone_call" or usage.provider in exclusive_providers or rule.tells_thoughts_beside
    )
    return not call.issues and not usage.has_failed and not may_be_mended


def _response_call_id(reading: Reading, provider: str) -> str:
    """Return who the call is by its response id, unless the emitter made that up."""
    if not reading.response_id or (reading.scope.rule.has_own_ids and provider != "openai"):
        return ""
    return f"response:{reading.response_id}"


def _producer(reading: Reading) -> tuple[str, int | None]:
    """Return which process made the span, and its running number there: both or neither."""
    producer_id = reading.first_text(reading.plan.texts.get("producer_id", NO_KEYS))
    sequence = reading.first_count(reading.plan.numbers.get("producer_sequence", NO_KEYS))
    if producer_id and isinstance(sequence, int) and sequence > 0:
        return producer_id, sequence
    return _NO_PRODUCER


def _session(reading: Reading) -> _Session:
    """Return which delta of which long socket a span is."""
    texts, numbers = reading.plan.texts, reading.plan.numbers
    session_id = reading.first_text(texts.get("session_id", NO_KEYS))
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
