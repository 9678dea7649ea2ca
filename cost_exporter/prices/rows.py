"""Read price rows, factors and aliases from the nodes of a price file; refuse what is unclear, and say how to fix it.

The format is the one of the public contract. Every error names file, line and column: a price that is
guessed wrong costs more than a file that is refused.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, TypeVar, cast

from cost_exporter.domain.money import MAX_MONEY, parse_decimal
from cost_exporter.domain.pricing.rows import (
    ALWAYS,
    CONDITIONS,
    FOREVER,
    LIST,
    NO_CONDITIONS,
    OPERATOR,
    ContextTier,
    Factor,
    Match,
    ModelAlias,
    PriceRow,
    Window,
    required_conditions,
)
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.domain.quantity import QUANTITIES
from cost_exporter.prices.place import Node

__all__ = ["read_alias", "read_factor", "read_row"]

_ROW_KEYS: Final = frozenset(
    {
        *("provider", "model", "match", "unit", "price", "per", "valid_from", "valid_to", "book", "increment"),
        *("minimum", "round_scope", "multiplier", "when", "context_tier", "bill_on_error", "window", "currency"),
        *("source", "checked", "confidence", "assumed", "note"),
    }
)
_FACTOR_KEYS: Final = frozenset({"book", "provider", "model", "factor", "valid_from", "valid_to"})
_ALIAS_KEYS: Final = frozenset({"provider", "name", "match", "model", "valid_from", "valid_to"})
_SCOPES: Final = ("request", "leg", "session")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def read_row(
    node: Node, *, book: str = OPERATOR, inherits_list: bool = False, for_model: tuple[str, str] | None = None
) -> PriceRow:
    """Return the row a node describes.

    `book` is the default where the row names none. `for_model` is (provider, model) of ad-hoc rates, which
    name neither.
    """
    _check_keys(node, _ROW_KEYS)
    match, model = ("exact", for_model[1]) if for_model else _model(node, "model")
    row = PriceRow(
        provider=canonical_provider(for_model[0]) if for_model else _provider(node),
        model=model.lower() if match != "regex" else model,
        match=cast("Match", match),
        unit=_choice(node, "unit", sorted(QUANTITIES)),
        price_usd=_decimal(node, "price", lowest=Decimal(0)),
        per=_decimal(node, "per"),
        book=_book(node, book),
        valid_from_unix_ns=_instant(node, "valid_from", ALWAYS),
        valid_to_unix_ns=_instant(node, "valid_to", FOREVER),
        when=_conditions(node),
        context_tier=_optional(node, "context_tier", _context_tier),
        window=_optional(node, "window", _window),
        increment=_decimal(node, "increment") if "increment" in node.fields else None,
        minimum=_decimal(node, "minimum", lowest=Decimal(0)) if "minimum" in node.fields else None,
        round_scope=_choice(node, "round_scope", _SCOPES, "request"),
        multiplier=_choice(node, "multiplier", sorted(QUANTITIES), ""),
        bill_on_error=_flag(node, "bill_on_error"),
        inherits_list=inherits_list,
        assumed=_text(node, "assumed", ""),
        source=_text(node, "source", ""),
        checked=_text(node, "checked", ""),
        confidence=_choice(node, "confidence", ("high", "medium", "low"), ""),
        note=_text(node, "note", ""),
    )
    _choice(node, "currency", ("USD",), "USD")
    if row.valid_from_unix_ns >= row.valid_to_unix_ns:
        raise node.error("valid_to is not after valid_from", "validity is [from, to)")
    return row


def read_factor(node: Node) -> Factor:
    """Return the factor a node describes."""
    _check_keys(node, _FACTOR_KEYS)
    return Factor(
        book=_book(node, OPERATOR),
        factor=_decimal(node, "factor", lowest=Decimal(0)),
        provider=_provider(node) if "provider" in node.fields else "",
        model=_text(node, "model", "").lower(),
        valid_from_unix_ns=_instant(node, "valid_from", ALWAYS),
        valid_to_unix_ns=_instant(node, "valid_to", FOREVER),
    )


def read_alias(node: Node) -> ModelAlias:
    """Return the alias a node describes: `name` (or `match`) is what calls say, `model` what it is."""
    _check_keys(node, _ALIAS_KEYS)
    match, name = _model(node, "name")
    return ModelAlias(
        provider=_provider(node),
        name=name.lower() if match != "regex" else name,
        match=cast("Match", match),
        model=_text(node, "model").lower(),
        valid_from_unix_ns=_instant(node, "valid_from", ALWAYS),
        valid_to_unix_ns=_instant(node, "valid_to", FOREVER),
    )


def _check_keys(node: Node, known: frozenset[str]) -> None:
    if node.kind != "map":
        raise node.error("not a mapping", "write `provider: …`, `unit: …` and so on, one to a line")
    for key, field in node.fields.items():
        if key not in known:
            raise field.error(f"unknown key {key!r}", _suggest(key, known))


def _suggest(text: str, known: Mapping[str, object] | frozenset[str] | tuple[str, ...] | list[str]) -> str:
    near = get_close_matches(text, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"use one of: {', '.join(sorted(known))}"


def _field(node: Node, key: str) -> Node:
    field = node.fields.get(key)
    if field is None:
        raise node.error(f"{key!r} is missing", f"add `{key}: …` to the row")
    return field


def _text(node: Node, key: str, default: str | None = None) -> str:
    if default is not None and key not in node.fields:
        return default
    field = _field(node, key)
    if field.kind in {"list", "map"} or not field.text.strip():
        raise field.error(f"{key!r} is not a text", "write one value")
    return field.text.strip()


def _choice(node: Node, key: str, known: tuple[str, ...] | list[str], default: str | None = None) -> str:
    text = _text(node, key, default)
    if text not in known and text != default:
        raise node.fields[key].error(f"unknown {key} {text!r}", _suggest(text, known))
    return text


def _flag(node: Node, key: str) -> bool:
    field = node.fields.get(key)
    if field is not None and field.kind != "bool":
        raise field.error(f"{key!r} is neither true nor false", "write true or false")
    return field is not None and field.is_true


def _decimal(node: Node, key: str, lowest: Decimal | None = None) -> Decimal:
    """Return an exact number: more than 0, or not less than `lowest`."""
    field = _field(node, key)
    if field.kind == "float":
        raise field.error(f"{key} {field.text} is a float", f'quote it: {key}: "{field.text}"')
    try:
        number = parse_decimal(field.text)
    except ValueError as error:
        raise field.error(f"{key}: {error}", f'write a decimal in quotes, as {key}: "0.0043"') from None
    if number < 0 or (lowest is None and number == 0):
        raise field.error(f"{key} {field.text} is not {'more than' if lowest is None else 'at least'} 0", "correct it")
    if number >= MAX_MONEY:
        raise field.error(f"{key} {field.text} is absurdly large", "correct it")
    return number


def _provider(node: Node) -> str:
    return canonical_provider(_text(node, "provider"))


def _model(node: Node, key: str) -> tuple[str, str]:
    """Return how to match, and the name, prefix or pattern."""
    if "match" not in node.fields:
        return "exact", _text(node, key)
    match = node.fields["match"]
    if key in node.fields and key == "model":
        raise match.error("a row has `model` or `match`, not both", "remove one")
    if match.kind != "map" or len(match.fields) != 1 or not match.fields.keys() <= {"prefix", "regex"}:
        raise match.error("`match` is neither a prefix nor a regex", "write match: {prefix: nova-2}")
    kind = next(iter(match.fields))
    text = _text(match, kind)
    if kind == "regex":
        try:
            re.compile(text)
        except re.error as error:
            raise match.fields[kind].error(f"not a regular expression: {error}", "correct the pattern") from None
    return kind, text


def _book(node: Node, default: str) -> str:
    book = _text(node, "book", default)
    kind, _, name = book.partition(":")
    if book in {LIST, OPERATOR} or (kind in {"tenant", "api_key"} and name):
        return book
    raise node.fields["book"].error(f"unknown book {book!r}", "use list, operator, tenant:NAME or api_key:ID")


def _instant(node: Node, key: str, default: int) -> int:
    """Return Unix nanoseconds; a date is its midnight, and without an offset a time is UTC."""
    if key not in node.fields:
        return default
    field = node.fields[key]
    try:
        instant = datetime.fromisoformat(_text(node, key))
    except ValueError:
        raise field.error(f"{key} {field.text!r} is not a time", "write 2026-01-01T00:00:00Z") from None
    since = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _conditions(node: Node) -> tuple[tuple[str, str], ...]:
    if "when" not in node.fields:
        return NO_CONDITIONS
    when = node.fields["when"]
    if when.kind != "map":
        raise when.error("`when` is not a mapping", "write when: {mode: stream}")
    for key, field in when.fields.items():
        if key not in CONDITIONS:
            raise field.error(f"unknown condition {key!r}", _suggest(key, CONDITIONS))
    return required_conditions({key: _text(when, key) for key in when.fields})


def _optional(node: Node, key: str, read: Callable[[Node], T]) -> T | None:
    return read(node.fields[key]) if key in node.fields else None


def _context_tier(node: Node) -> ContextTier:
    _check_keys(node, frozenset({"basis", "above", "inclusive"}))
    return ContextTier(
        basis=_choice(node, "basis", sorted(QUANTITIES), "input_tokens"),
        above=int(_decimal(node, "above", lowest=Decimal(0))),
        is_inclusive=_flag(node, "inclusive"),
    )


def _window(node: Node) -> Window:
    _check_keys(node, frozenset({"weekdays", "utc"}))
    weekdays = frozenset(_weekday(item) for item in _list(node, "weekdays")) or frozenset(range(7))
    minutes = tuple(_minutes(item) for item in _list(node, "utc")) or ((0, 24 * 60),)
    return Window(weekdays=weekdays, minutes=minutes)


def _list(node: Node, key: str) -> tuple[Node, ...]:
    field = node.fields.get(key)
    if field is None:
        return ()
    if field.kind != "list" or not field.items:
        raise field.error(
            f"{key!r} is not a list",
            f"write {key}: [mon, tue]" if key == "weekdays" else f'write {key}: ["01:00-04:00"]',
        )
    return field.items


def _weekday(item: Node) -> int:
    if item.text.lower() not in _DAYS:
        raise item.error(f"unknown weekday {item.text!r}", f"use {', '.join(_DAYS)}")
    return _DAYS.index(item.text.lower())


def _minutes(item: Node) -> tuple[int, int]:
    match = _RANGE.fullmatch(item.text)
    if match is None:
        raise item.error(f"{item.text!r} is not a range of times", 'write "01:00-04:00"')
    start_hour, start_minute, end_hour, end_minute = (int(part) for part in match.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if start == end or max(start, end) > 24 * 60:
        raise item.error(f"{item.text!r} is not a range within a day", 'write "01:00-04:00"')
    return start, end
