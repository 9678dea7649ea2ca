"""Make plans: from the attribute names of a span decide what can be read from where, once for all alike spans.

`WANTED` is every name anybody reads. Some of them make a span worth reading: looking for these is all that is
done to a span that has nothing to do with cost.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from cost_exporter.read.dialects import CONVENTIONS, DIALECTS
from cost_exporter.read.fields.identity import IDENTITY_FLAGS, IDENTITY_TEXTS
from cost_exporter.read.fields.reading import AttributeLayout, Dialect, EncodedValues, Keys, RuledScope
from cost_exporter.read.timing import TIMING_KEYS
from cost_exporter.read.vocabulary.aliases import (
    ATTRIBUTION_KEYS,
    COSTS,
    FLAG_KEYS,
    NUMBER_KEYS,
    QUANTITY_ALIASES,
    TEXT_KEYS,
    TOTAL_KEYS,
)
from cost_exporter.read.vocabulary.scopes import scope_rule
from cost_exporter.read.vocabulary.usage_names import (
    UsageName,
    holds_usage,
    is_service_tier,
    is_total,
    speaks_of_usage,
    usage_name,
)

__all__ = ["WANTED", "ScopeLayouts", "layouts_of_scope"]

_LAYOUTS_MAX: Final = 1024
"""Kinds of spans remembered per scope; a sender that makes up names empties the memory, and costs only time."""
_SCOPES_MAX: Final = 1024

_QUANTITY_KEYS: Final = frozenset(key for alias in QUANTITY_ALIASES for key in alias.keys)
_COST_KEYS: Final = frozenset(
    key for cost in COSTS for key in (cost.amount_key, cost.currency_key, cost.source_key) if key
)
_SPLIT_WRITES: Final = frozenset({"cache_write_5m_tokens", "cache_write_1h_tokens"})
_RARE_TEXTS: Final = frozenset(
    {"session_id", "phone_call_id", "phone_call_status", "billed_unit", "paid_extras", "reservation_id"}
)
_FAILURES: Final = frozenset({"error_type", "http_status", "error_level"})
_CALL_IDENTIFYING_TEXTS: Final = ("operation", "response_model", "request_model", "response_id", "phone_call_id")
_MARKERS: Final = (
    _QUANTITY_KEYS
    | frozenset(key for name in _CALL_IDENTIFYING_TEXTS for key in TEXT_KEYS[name])
    | frozenset(key for dialect in DIALECTS for key in dialect.markers)
)
"""Names one of which every span of a call carries."""

_RELEVANT_KEYS: Final = _MARKERS | {key for keys in ATTRIBUTION_KEYS.values() for key in keys}
"""Every call, and every span with attribution, has at least one of these names. Spans without any, the majority, only
link others."""


_ALIASED: Final = frozenset(
    _QUANTITY_KEYS
    | _COST_KEYS
    | set(TOTAL_KEYS)
    | {
        key
        for table in (TEXT_KEYS, FLAG_KEYS, NUMBER_KEYS, ATTRIBUTION_KEYS)
        for keys in table.values()
        for key in keys
    }
)
"""Names that are read whatever the dialect."""
WANTED: Final = _MARKERS | _ALIASED | TIMING_KEYS | {key for dialect in DIALECTS for key in dialect.keys}
_HARMLESS_MAX: Final = 65_536
_HARMLESS_LENGTH_MAX: Final = 128
"""Longer ones are judged each time: so a sender that makes them up takes little memory."""
_harmless: set[str] = set()
"""Names that were checked and are not names of usage."""


def _suspects(names: Sequence[str]) -> frozenset[str]:
    """Return the names of usage or of a tier among those that nothing reads. Each name is checked once."""
    unknown = set(names).difference(WANTED, _harmless)
    if not unknown:
        return frozenset()
    suspects = frozenset(name for name in unknown if speaks_of_usage(name))
    if len(_harmless) >= _HARMLESS_MAX:
        _harmless.clear()
    _harmless.update(name for name in unknown - suspects if len(name) <= _HARMLESS_LENGTH_MAX)
    return suspects


class ScopeLayouts:
    """The plans for the spans of one scope."""

    __slots__ = ("_dialect", "_layouts", "scope")

    def __init__(self, name: str, version: str) -> None:
        """Look the scope up in the tables."""
        self.scope = RuledScope(name=name, version=version, rule=scope_rule(name, version))
        self._dialect = _dialect_of_scope(name)
        self._layouts: dict[tuple[frozenset[str], bool], AttributeLayout] = {}

    def layout_for(self, names: Sequence[str], *, is_streamed: bool = False) -> AttributeLayout | None:
        """Return the layout of spans with attributes of these names; None if none of them is read."""
        suspects = _suspects(names)
        if not suspects and _RELEVANT_KEYS.isdisjoint(names):
            return None
        present = WANTED.intersection(names) | suspects
        layout = self._layouts.get((present, is_streamed))
        if layout is None:
            if len(self._layouts) >= _LAYOUTS_MAX:
                self._layouts.clear()
            layout = self._layouts[present, is_streamed] = self._made(present, is_streamed=is_streamed)
        return layout

    def _made(self, present: frozenset[str], *, is_streamed: bool) -> AttributeLayout:
        dialect = self._dialect or _dialect_of_markers(present)
        texts, flags, numbers = _table(TEXT_KEYS, present), _table(FLAG_KEYS, present), _table(NUMBER_KEYS, present)
        places = tuple(
            (position, found)
            for position, keys in enumerate(ATTRIBUTION_KEYS.values())
            if (found := _present(keys, present))
        )
        own_keys = dialect.markers | dialect.keys
        others = present - _ALIASED - own_keys
        texts["service_tier"] = (*texts.get("service_tier", ()), *_unlisted_tiers(others))
        unread, containers = _unread(others)
        completes = dialect.complete is not None and (
            not own_keys or not own_keys.isdisjoint(present) or bool(containers)
        )
        costs = tuple(position for position, cost in enumerate(COSTS) if cost.amount_key in present)
        operation = None if dialect.needs_marker and dialect.markers.isdisjoint(present) else dialect.operation
        may_report_failure = not _FAILURES.isdisjoint(texts) or "is_refused" in flags
        is_plain = (
            not costs and not numbers and _RARE_TEXTS.isdisjoint(texts) and not completes and not (unread or containers)
        )
        quantities = tuple(
            (alias.quantity, found[0], found, alias.is_measured)
            for alias in QUANTITY_ALIASES
            if (found := _present(alias.keys, present))
        )
        stated = {quantity for quantity, *_ in quantities}
        has_cache, has_reasoning = any(map(_is_cached, stated)), "reasoning_tokens" in stated
        rule = self.scope.rule
        total_keys = _present(TOTAL_KEYS, present) or tuple(sorted(filter(is_total, others)))
        return AttributeLayout(
            scope=self.scope,
            dialect=dialect,
            operation=operation,
            may_be_call=not rule.is_never_billed and (bool(containers or unread) or not _MARKERS.isdisjoint(present)),
            attribution_places=places,
            attribution_values=_values_of(tuple(key for _, keys in places for key in keys)),
            attributions={},
            identity_values=_values_of(
                (
                    *(key for name in IDENTITY_TEXTS for key in texts.get(name, ())),
                    *texts.get("host", ())[:1],
                    *(key for name in IDENTITY_FLAGS for key in flags.get(name, ())),
                )
            ),
            identities={},
            quantities=quantities,
            counts=tuple((quantity, key) for quantity, key, _, _ in quantities),
            has_cache=has_cache,
            splits_writes=not _SPLIT_WRITES.isdisjoint(stated),
            has_reasoning=has_reasoning,
            alternatives=tuple((found[0], other) for _, _, found, _ in quantities for other in found[1:]),
            total_keys=total_keys,
            weighs_totals=completes or bool(total_keys) or has_cache or has_reasoning,
            unread=unread,
            containers=containers,
            response_id_keys=texts.get("response_id", ()),
            texts=texts,
            flags=flags,
            numbers=numbers,
            costs=costs,
            may_report_failure=may_report_failure,
            is_plain=is_plain,
            completes=completes,
            is_streamed=is_streamed,
            timing_keys=tuple(sorted(TIMING_KEYS & present)),
            has_template=is_plain
            and operation is None
            and not (may_report_failure or rule.has_own_ids or rule.loses_cached),
        )


_scopes: dict[tuple[str, str], ScopeLayouts] = {}


def layouts_of_scope(name: str, version: str) -> ScopeLayouts:
    """Return the plans of a scope, remembered from request to request."""
    layouts = _scopes.get((name, version))
    if layouts is None:
        if len(_scopes) >= _SCOPES_MAX:
            _scopes.clear()
        layouts = _scopes[name, version] = ScopeLayouts(name, version)
    return layouts


def _unread(names: frozenset[str]) -> tuple[tuple[tuple[str, UsageName], ...], Keys]:
    """Return the names of usage with their meaning, and those of usage objects; in a fixed order."""
    containers = tuple(sorted(name for name in names if holds_usage(name)))
    judged = ((name, usage_name(name)) for name in sorted(names.difference(containers)))
    return tuple((name, meaning) for name, meaning in judged if meaning is not None), containers


def _values_of(keys: Keys) -> EncodedValues:
    """Return a function that takes the values of these attributes. For several it is one in C."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda attributes: tuple([attributes[key] for key in keys])


def _is_cached(quantity: str) -> bool:
    return quantity.startswith("cache_")


def _unlisted_tiers(names: frozenset[str]) -> Keys:
    """Return the names of service tiers that no table lists: what was answered before what was asked for."""
    return tuple(sorted(filter(is_service_tier, names), key=lambda name: ("response" not in name.lower(), name)))


def _present(keys: Keys, present: frozenset[str]) -> Keys:
    return tuple(key for key in keys if key in present)


def _table(table: dict[str, Keys], present: frozenset[str]) -> dict[str, Keys]:
    return {name: found for name, keys in table.items() if (found := _present(keys, present))}


def _dialect_of_scope(name: str) -> Dialect | None:
    for dialect in DIALECTS:
        for scope in dialect.scopes:
            if name == scope or (scope.endswith("*") and name.startswith(scope[:-1])):
                return dialect
    return None


def _dialect_of_markers(present: frozenset[str]) -> Dialect:
    return next((each for each in DIALECTS if not each.markers.isdisjoint(present)), CONVENTIONS)
