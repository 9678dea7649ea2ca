"""Read a whole price file: its rows, factors and aliases, checked against one another.

In: YAML text. Out: a `PriceFile`, or `PriceFileError` with file, line, column and how to fix it; never half a file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Final

from cost_exporter.domain.pricing.rows import FOREVER, OPERATOR, Factor, ModelAlias, PriceRow, instant_text
from cost_exporter.errors import PriceFileError
from cost_exporter.prices.place import Node, compose, wrap
from cost_exporter.prices.rows import read_alias, read_factor, read_row

__all__ = ["PriceFile", "parse_price_file", "parse_rates", "read_price_file"]

_SECTIONS: Final = ("prices", "factors", "aliases", "inherit")
_MAX_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFile:
    """The content of one price file."""

    name: str
    rows: Sequence[PriceRow] = ()
    factors: Sequence[Factor] = ()
    aliases: Sequence[ModelAlias] = ()
    content_sha256: str = ""
    """Hash of what the file says: equal after a change of comments or layout, and in every version of this program."""


def read_price_file(path: Path, *, book: str = OPERATOR) -> PriceFile:
    """Return the contents of a file."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PriceFileError(f"{path}: more than {_MAX_BYTES:,} bytes; split it")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PriceFileError(f"{path}: cannot be read: {error.strerror}; correct the path or its permissions") from None
    except UnicodeDecodeError:
        raise PriceFileError(f"{path}: not UTF-8; save it as UTF-8 text") from None
    return parse_price_file(text, str(path), book=book)


def parse_price_file(text: str, name: str, *, book: str = OPERATOR) -> PriceFile:
    """Return what a YAML text says. `book` is where its rows belong unless they name another."""
    root = compose(text, name)
    if root.kind != "map":
        raise root.error("not a price file", "begin with `prices:` and a list of rows")
    for key, field in root.fields.items():
        if key not in _SECTIONS:
            raise field.error(f"unknown section {key!r}", f"use {', '.join(_SECTIONS)}")
    inherits = _inherits(root)
    rows = [(read_row(node, book=book, inherits_list=inherits), node) for node in _items(root, "prices")]
    _check_overlaps(rows)
    _check_ties(rows)
    return PriceFile(
        name=name,
        rows=[row for row, _ in rows],
        factors=[read_factor(node) for node in _items(root, "factors")],
        aliases=[read_alias(node) for node in _items(root, "aliases")],
        content_sha256=sha256(json.dumps(root.canonical).encode()).hexdigest(),
    )


def parse_rates(raw: Sequence[Mapping[str, Any]], *, provider: str, model: str) -> list[PriceRow]:
    """Return ad-hoc rates, given as JSON without provider and model, as rows for that model."""
    rows = [(read_row(node, for_model=(provider, model)), node) for node in wrap(raw, "rates").items]
    _check_overlaps(rows)
    _check_ties(rows)
    return [row for row, _ in rows]


def _inherits(root: Node) -> bool:
    inherit = root.fields.get("inherit")
    if inherit is None:
        return False
    if inherit.text not in {"list", "none"}:
        raise inherit.error(f"unknown `inherit: {inherit.text}`", "write inherit: list, or inherit: none")
    return inherit.text == "list"


def _items(root: Node, section: str) -> tuple[Node, ...]:
    node = root.fields.get(section)
    if node is None:
        return ()
    if node.kind != "list":
        raise node.error(f"`{section}` is not a list", f"write `{section}:` and then rows that begin with `-`")
    return node.items


def _check_overlaps(rows: Iterable[tuple[PriceRow, Node]]) -> None:
    """Refuse two prices for the same thing at the same time.

    A row without `valid_to` lasts until the next one starts: that is how a price is raised, by appending.
    """
    groups: dict[tuple[Any, ...], list[tuple[PriceRow, Node]]] = {}
    for row, node in rows:
        groups.setdefault(row.supersede_key[:-1], []).append((row, node))
    for group in groups.values():
        ordered = sorted(group, key=lambda pair: pair[0].valid_from_unix_ns)
        for (earlier, first), (later, second) in pairwise(ordered):
            is_open = earlier.valid_to_unix_ns == FOREVER and earlier.valid_from_unix_ns < later.valid_from_unix_ns
            if not is_open and earlier.valid_to_unix_ns > later.valid_from_unix_ns:
                raise second.error(
                    f"validity overlaps that of line {first.line}: {later.provider} {later.model} {later.unit}",
                    f"end one where the other starts: {instant_text(max(later.valid_from_unix_ns, 0))}",
                )


def _check_ties(rows: Iterable[tuple[PriceRow, Node]]) -> None:
    """Refuse two rows that can match one usage with equally many conditions: which one applies would be undefined."""
    groups: dict[tuple[Any, ...], list[tuple[PriceRow, Node]]] = {}
    for row, node in rows:
        if row.when:
            groups.setdefault((*row.supersede_key[:5], str(row.context_tier), str(row.window)), []).append((row, node))
    for group in groups.values():
        conditions = {row.when for row, _ in group}
        for (one, first), (other, second) in combinations(group, 2):
            if len(one.when) == len(other.when) and _can_both_hold(one, other) and _union(one, other) not in conditions:
                raise second.error(
                    f"ties with line {first.line}: one usage can meet {one.conditions_key} and {other.conditions_key}",
                    "add a row with both conditions, or make one exclude the other",
                )


def _can_both_hold(one: PriceRow, other: PriceRow) -> bool:
    ours, theirs = dict(one.when), dict(other.when)
    if one.when == other.when or any(theirs.get(name, wanted) != wanted for name, wanted in ours.items()):
        return False
    together = ours | theirs
    if together.get("mode") == "batch" and "service_tier" in together:
        return False  # batch is a tier of its own
    return one.valid_from_unix_ns < other.valid_to_unix_ns and other.valid_from_unix_ns < one.valid_to_unix_ns


def _union(one: PriceRow, other: PriceRow) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**dict(one.when), **dict(other.when)}.items()))
