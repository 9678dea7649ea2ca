"""A call as JSON and back: what one span reported, beyond what the columns of `record` hold.

`record` keeps the result; this keeps the input, so that a trace can be settled again when a late span arrives. Only
what differs from its default is written, and every field of `Call` and `UsageRecord` comes back equal, also those
that are added later. Nothing here can hold content: a call consists of names, counts and ids.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quantity import Quantities, Quantity
from cost_exporter.domain.span import Call, EmitterRank
from cost_exporter.domain.usage import UsageRecord

__all__ = [
    "attribution_from",
    "attribution_words",
    "call_fact",
    "call_fact_text",
    "call_from",
    "compact_json",
    "loads_exactly",
    "quantities_json",
    "with_member",
]

compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON without spaces, as the columns hold it."""

_CALL_COLUMNS: Final = frozenset(
    {
        "trace_id",
        "span_id",
        "parent_span_id",
        "started_at_unix_ns",
        "ended_at_unix_ns",
        "service_name",
        "error_type",
        "reported_cost_usd",
        "content_hash",
    }
)
_USAGE_COLUMNS: Final = frozenset({"provider", "model", "operation", "service_tier", "mode"})
# `session_before` is a result of settling, not part of the span: it is kept with the record.
_KEPT_APART: Final = frozenset(
    {"usage", "attribution", "resource_attribution", "quantities", "at_unix_ns", "session_before"}
)
_STORED_AS: Final = {"emitter_rank": "detail"}
"""Fields that have another name in the database: what was stored before they were renamed stays readable."""
_DECIMALS: Final = frozenset({"vendor_cost_usd", "session_vendor_total_seconds"})


def _defaults(cls: type, elsewhere: frozenset[str]) -> tuple[tuple[str, Any], ...]:
    found = ((each.name, each.default) for each in fields(cls) if each.name not in elsewhere)
    return tuple((name, None if default is MISSING else default) for name, default in found)


_PER_CALL: Final = frozenset({"call_id", "producer_sequence", "reservation_id"})
"""Fields that differ in nearly every call; most of the others are equal in many calls."""
_CALL_REST: Final = _defaults(Call, _CALL_COLUMNS | _KEPT_APART)
_CALL_KEYS: Final = tuple((name, _STORED_AS.get(name, name)) for name, _ in _CALL_REST)
_CALL_SHARED: Final = _defaults(Call, _CALL_COLUMNS | _KEPT_APART | _PER_CALL)
_USAGE_REST: Final = _defaults(UsageRecord, _USAGE_COLUMNS | _KEPT_APART)
_ATTRIBUTIONS: Final = (("attribution", NO_ATTRIBUTION), ("resource_attribution", NO_ATTRIBUTION))
_SHARED: Final = (*_CALL_SHARED, *_ATTRIBUTIONS, *_USAGE_REST)
_shared_by_call: Final = attrgetter(*(name for name, _ in (*_CALL_SHARED, *_ATTRIBUTIONS)))
_shared_by_usage: Final = attrgetter(*(name for name, _ in _USAGE_REST))


def call_fact(call: Call) -> dict[str, Any]:
    """Return what the call says beyond the columns of `record` and the quantities, without defaults."""
    return json.loads(call_fact_text(call))


def call_fact_text(call: Call) -> str:
    """Return the same as a JSON object. What many calls say alike is written once."""
    usage = call.usage
    members = [_shared_members(_shared_by_call(call) + _shared_by_usage(usage))]
    if call.call_id:
        members.append(f'"call_id":{compact_json(call.call_id)}')
    if call.producer_sequence is not None:
        members.append(f'"producer_sequence":{call.producer_sequence}')
    if call.reservation_id:
        members.append(f'"reservation_id":{compact_json(call.reservation_id)}')
    if usage.at_unix_ns != call.started_at_unix_ns:
        members.append(f'"at_unix_ns":{usage.at_unix_ns}')
    return "{" + ",".join(filter(None, members)) + "}"


@lru_cache(maxsize=4096)
def _shared_members(contents: tuple[Any, ...]) -> str:
    """Return the JSON members of what differs from its default, without the braces."""
    fact: dict[str, Any] = {}
    for (name, default), content in zip(_SHARED, contents, strict=True):
        if content != default:
            fact[_STORED_AS.get(name, name)] = _member_json(name, content)
    return compact_json(fact)[1:-1]


def _member_json(name: str, content: Any) -> Any:
    if isinstance(content, Attribution):
        return attribution_words(content)
    return str(content) if name in _DECIMALS else content


def call_from(fact: Mapping[str, Any], quantities: Quantities, columns: Mapping[str, Any]) -> Call:
    """Return the call of this fact; `columns` are the fields that have a column of their own."""
    call = {name: columns[name] for name in _CALL_COLUMNS}
    call |= {name: _content_from(name, fact[key]) for name, key in _CALL_KEYS if key in fact}
    usage = {name: columns[name] for name in _USAGE_COLUMNS}
    usage |= {name: _content_from(name, fact[name]) for name, _ in _USAGE_REST if name in fact}
    return Call(
        usage=UsageRecord(
            quantities=quantities, at_unix_ns=fact.get("at_unix_ns", columns["started_at_unix_ns"]), **usage
        ),
        attribution=attribution_from(fact.get("attribution")),
        resource_attribution=attribution_from(fact.get("resource_attribution")),
        **call,
    )


def attribution_words(attribution: Attribution) -> dict[str, str]:
    """Return the fields of an attribution as text, without those that are not stated."""
    return {name: word for name, word in zip(Attribution._fields, attribution, strict=True) if word is not None}


def attribution_from(words: Mapping[str, str] | None) -> Attribution:
    """Return the attribution of these words."""
    return Attribution(**words) if words else NO_ATTRIBUTION


def quantities_json(quantities: Quantities) -> str:
    """Return quantities as a JSON object of numbers, exact. Names are ours and need no escaping."""
    counts = tuple(quantities.values())
    if _ONLY_INT.issuperset(map(type, counts)):  # as nearly always; the names are written once
        return _counts_template(tuple(quantities)) % counts
    return "{" + ",".join([f'"{name}":{_number(count)}' for name, count in quantities.items()]) + "}"


_ONLY_INT: Final = frozenset({int})


@lru_cache(maxsize=1024)
def _counts_template(names: tuple[str, ...]) -> str:
    return "{" + ",".join([f'"{name}":%d' for name in names]) + "}"


def with_member(fact: str, name: str, content: str) -> str:
    """Return a fact's JSON object with one more member, whose content is JSON."""
    comma = "" if fact == "{}" else ","
    return f'{fact[:-1]}{comma}"{name}":{content}}}'


_decode_exactly: Final = json.JSONDecoder(parse_float=Decimal).decode
"""Made once: `json.loads` makes a decoder for every text, which takes as long as the text of a call."""


def loads_exactly(text: str | bytes) -> Any:
    """Return what this JSON says, with numbers as int or Decimal."""
    return _decode_exactly(text if isinstance(text, str) else text.decode())


def _number(count: Quantity) -> str:
    return str(count) if isinstance(count, int) else to_plain(count)


def _content_from(name: str, content: Any) -> Any:
    if name in _DECIMALS:
        return Decimal(content)
    if name == "emitter_rank":
        return _emitter_rank(content)
    return tuple(content) if isinstance(content, list) else content


@lru_cache(maxsize=16)
def _emitter_rank(number: int) -> EmitterRank:
    return EmitterRank(number)
