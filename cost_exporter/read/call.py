"""Read one span as a provider call: which operation, who was asked, what was used, how it ended.

A span is a call if it names an operation that providers bill, even where its usage is missing: that is
`no_usage`, and never dropped. A span that names none is a call only if it brings usage, or a model on a client
span. Everything else only links other spans.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from cost_exporter.domain.attribution import NO_ATTRIBUTION
from cost_exporter.domain.quantity import TOKEN_QUANTITIES
from cost_exporter.domain.span import Call, EmitterRank
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.read.fields.content_hash import Extras, content_hash, rare_text
from cost_exporter.read.fields.costs import NO_COST, stated_cost
from cost_exporter.read.fields.failure import failure_of
from cost_exporter.read.fields.identity import completed_identity
from cost_exporter.read.fields.quantities import read_quantities, repair_quantities
from cost_exporter.read.fields.reading import NO_KEYS, Reading, first_text
from cost_exporter.read.fields.totals import is_claude_elsewhere
from cost_exporter.read.fields.usage_containers import read_containers
from cost_exporter.read.look_alike import look_alike_names
from cost_exporter.read.otlp.values import ID_LENGTH_MAX, clean_text
from cost_exporter.read.unread import name_lost_cache, name_unread_usage
from cost_exporter.read.vocabulary.names import tier_named
from cost_exporter.read.vocabulary.operations import WRAPPER
from cost_exporter.read.vocabulary.scopes import EXCLUSIVE_PROVIDERS, ScopeRule

__all__ = ["read_call"]

_CLIENT: Final = 3
_ISSUES_MAX: Final = 32
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
_RESERVATION_ID: Final = re.compile("[0-9a-f]{32}")
_NO_PRODUCER: Final[tuple[str, int | None]] = "", None


def read_call(reading: Reading, trusted_cost_sources: frozenset[str]) -> Call | None:
    """Return the call that a span reports, or None if it reports none."""
    operation = _operation(reading)
    if operation == WRAPPER:
        return _look_alike(reading, trusted_cost_sources)
    reading.operation = operation
    layout = reading.layout
    are_counts_plain = read_quantities(reading)
    if layout.response_id_keys:
        response_id = reading.attributes[layout.response_id_keys[0]].string_value
        if not 0 < len(response_id) <= ID_LENGTH_MAX or not response_id.isprintable():
            response_id = first_text(reading.attributes, layout.response_id_keys)
        reading.response_id = response_id
    if layout.containers or layout.unread:
        read_containers(reading)
    if layout.completes or reading.stated_tier:
        _complete(reading)
    if layout.weighs_totals or not (are_counts_plain and layout.is_plain):
        repair_quantities(reading, are_plain=are_counts_plain)
    if layout.scope.rule.loses_cached:
        name_lost_cache(reading)
    if layout.unread or reading.usage_objects or reading.identity.redacted:
        name_unread_usage(reading)
    return _call(reading, trusted_cost_sources)


def _look_alike(reading: Reading, trusted_cost_sources: frozenset[str]) -> Call | None:
    """Return a span that is no call, but looks like one, as the call it would be; its usage is nobody's."""
    names = look_alike_names(reading)
    if not names:
        return None
    reading.operation, reading.is_look_alike = "chat", True
    if reading.layout.completes:
        _complete(reading)
    reading.quantities.clear()
    reading.usage_objects, reading.response_id, reading.is_billable = None, "", True
    reading.issues[:] = [f"looks_like_a_call: {', '.join(names)}"]
    return _call(reading, trusted_cost_sources)


def _operation(reading: Reading) -> str:
    speak = reading.layout.operation
    operation = None if speak is None else speak(reading)
    if operation is None:
        operation = reading.identity.operation
    return _guessed_operation(reading) if operation is None else operation


def _guessed_operation(reading: Reading) -> str:
    """Return the operation of a span that names none, by what it used; a bare model counts on client spans."""
    layout = reading.layout
    used = {quantity for quantity, *_ in layout.quantities}
    if reading.span.name in layout.dialect.parts:
        return WRAPPER
    if "phone_call_id" in layout.texts:
        guess = "phone_call"
    elif used:
        guess = next((operation for quantity, operation in _GUESSES if quantity in used), "chat")
    elif reading.span.kind == _CLIENT and ("request_model" in layout.texts or "response_model" in layout.texts):
        guess = "chat"
    else:
        return WRAPPER
    reading.issues.append("assumed_operation")
    return guess


def _complete(reading: Reading) -> None:
    """Let the dialect complete the reading, take a tier that only a usage object states, and derive the names again."""
    identity, complete = reading.identity, reading.layout.dialect.complete
    reading.provider, reading.service_tier = identity.provider, identity.service_tier
    reading.response_model, reading.request_model = identity.response_model, identity.request_model
    reading.is_stream, reading.is_billable = identity.is_stream, identity.is_billable
    reading.is_estimated = identity.is_estimated
    if reading.layout.completes:
        assert complete is not None
        complete(reading)
    if reading.stated_tier and not tier_named(reading.service_tier):
        reading.service_tier = reading.stated_tier
    reading.identity = completed_identity(
        operation=identity.operation,
        provider=reading.provider,
        response_model=reading.response_model,
        request_model=reading.request_model,
        service_tier=reading.service_tier,
        address=identity.address,
        is_stream=reading.is_stream,
        is_billable=reading.is_billable,
        is_estimated=reading.is_estimated,
        redacted=identity.redacted,
    )


def _call(reading: Reading, trusted_cost_sources: frozenset[str]) -> Call:
    identity, origin, span = reading.identity, reading.origin, reading.span
    names = identity.names
    if reading.issues:
        reading.issues[:] = _presentable(reading.issues)
    failure = failure_of(reading)
    cost, session, phone_call_id, producer, reservation_id = NO_COST, _NO_SESSION, "", _NO_PRODUCER, ""
    if not reading.layout.is_plain:
        cost = stated_cost(reading, names.provider, trusted_cost_sources)
        session = _session(reading)
        phone_call_id = reading.first_text(reading.layout.texts.get("phone_call_id", NO_KEYS))
        producer = _producer(reading)
        reservation_id = _reservation_id(reading)
    call_id = f"phone:{phone_call_id}" if phone_call_id else _response_call_id(reading)
    mode = identity.mode if session is _NO_SESSION else identity.mode or "stream"
    if identity.is_stream is False and reading.operation == "speech_to_text":
        # Recorded rather than streamed. Of tokens, batch is another thing: the cheaper answer within a day.
        mode = mode or ("batch" if TOKEN_QUANTITIES.isdisjoint(reading.quantities) else "")
    rare_fields = ""
    if not reading.layout.is_plain or failure.has_failed or reading.issues or reading.attribution is not NO_ATTRIBUTION:
        extras = Extras(
            phone_call_id=phone_call_id,
            error_type=failure.error_type,
            has_failed=failure.has_failed,
            is_refused=failure.is_refused,
            reported_cost_usd=cost.amount_usd,
            reported_cost_source=cost.source,
            issues=tuple(reading.issues),
            speed=reading.speed,
        )
        rare_fields = rare_text(reading.attribution, session, extras)
    hashed = content_hash(
        span.trace_id + span.span_id + (reading.parent_span_id or b""),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        reading.operation,
        reading.quantities,
        identity,
        origin,
        reading.scope.name,
        reading.response_id,
        rare_fields,
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
            service_tier=identity.tier,
            mode=mode,
            region=names.region,
            speed=reading.speed,
            base_url=names.host,
            is_refused=failure.is_refused,
            has_failed=failure.has_failed,
            is_estimated=identity.is_estimated or reading.has_unread_usage,
            is_incomplete=reading.is_incomplete,
            vendor_cost_usd=cost.amount_usd if cost.is_trusted else None,
        ),
        attribution=reading.attribution,
        resource_attribution=origin.attribution,
        service_name=origin.service_name,
        scope=reading.scope.name,
        emitter_rank=EmitterRank.GATEWAY if reading.resolves_alias else reading.scope.rule.emitter_rank,
        is_detached=reading.scope.rule.is_detached,
        is_look_alike=reading.is_look_alike,
        is_billable=identity.is_billable,
        call_id=call_id,
        has_gateway_id=_has_gateway_id(reading, call_id, names.provider),
        is_gateway=reading.is_gateway,
        session_id=session.session_id,
        session_sequence=session.sequence,
        session_is_closed=session.is_closed,
        session_vendor_total_seconds=session.vendor_total_seconds,
        producer_id=producer[0],
        producer_sequence=producer[1],
        reservation_id=reservation_id,
        reported_cost_usd=cost.amount_usd,
        reported_cost_source=cost.source,
        error_type=failure.error_type,
        issues=tuple(reading.issues),
        content_hash=hashed,
    )
    if reading.layout.has_template and not reading.is_look_alike and _is_template(call, reading.scope.rule):
        identity.template = call
    return call


def _presentable(issues: Sequence[str]) -> list[str]:
    """Return issues clean, for they quote names of attributes and members of objects; and a bounded number of them."""
    shown = [clean_text(issue) for issue in issues[:_ISSUES_MAX]]
    return shown if len(issues) <= _ISSUES_MAX else [*shown, f"more_issues: {len(issues) - _ISSUES_MAX}"]


def _is_template(call: Call, rule: ScopeRule) -> bool:
    """Return whether it can be the template of other calls: not if it was repaired, or the next one might be."""
    usage = call.usage
    exclusive_providers = rule.exclusive_providers if rule.is_known else EXCLUSIVE_PROVIDERS
    may_be_repaired = (
        usage.operation == "phone_call"
        or usage.provider in exclusive_providers
        or rule.reports_thoughts_beside
        or is_claude_elsewhere(usage.provider, usage.model)
    )
    return not call.issues and not usage.has_failed and not may_be_repaired


def _response_call_id(reading: Reading) -> str:
    return f"response:{reading.response_id}" if reading.response_id else ""


def _has_gateway_id(reading: Reading, call_id: str, provider: str) -> bool:
    """Return whether the emitter made the id up; OpenAI's it passes on."""
    return bool(call_id) and reading.scope.rule.has_own_ids and not reading.has_vendor_id and provider != "openai"


def _producer(reading: Reading) -> tuple[str, int | None]:
    """Return which process made the span, and its running number there: both or neither."""
    producer_id = reading.first_text(reading.layout.texts.get("producer_id", NO_KEYS))
    sequence = reading.first_count(reading.layout.numbers.get("producer_sequence", NO_KEYS))
    if producer_id and isinstance(sequence, int) and sequence > 0:
        return producer_id, sequence
    return _NO_PRODUCER


def _reservation_id(reading: Reading) -> str:
    """Return the id of the budget's reservation as 32 hex digits, "" for anything that is no such id."""
    stated = reading.first_text(reading.layout.texts.get("reservation_id", NO_KEYS)).replace("-", "").lower()
    return stated if _RESERVATION_ID.fullmatch(stated) else ""


def _session(reading: Reading) -> _Session:
    """Return which delta of which long socket a span is."""
    texts, numbers = reading.layout.texts, reading.layout.numbers
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
