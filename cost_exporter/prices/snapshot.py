"""Snapshot of an import: list prices as compact JSON that loads in milliseconds, without the library.

One ships with the package, and each `callfare prices import` keeps one in the database. Rows are arrays and
become `PriceRow`s provider by provider, when a provider is first asked for.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, ContextTier, ModelAlias, PriceRow, Window
from cost_exporter.errors import PriceFileError
from cost_exporter.prices.genai import ImportedProvider

__all__ = ["SECONDARY", "Snapshot", "dump_snapshot"]

_FORMAT: Final = 1
SECONDARY: Final = "voice-prices"
"""The library that is asked last."""


class Snapshot:
    """The prices of one import, as a source of rows for a book."""

    def __init__(self, text: str) -> None:
        """Parse a snapshot as `dump_snapshot` wrote it."""
        try:
            raw: dict[str, Any] = json.loads(text)
            is_known = raw["format"] == _FORMAT
        except (ValueError, KeyError, TypeError):
            is_known = False
            raw = {}
        if not is_known:
            raise PriceFileError("snapshot of list prices is damaged; run `callfare prices import`")
        self.origin: str = raw["origin"]
        self.imported_on: str = raw["imported_on"]
        self._providers: dict[str, dict[str, Any]] = raw["providers"]
        self._text = text

    @cached_property
    def version(self) -> str:
        """Hash of the contents."""
        return sha256(self._text.encode()).hexdigest()[:12]

    @property
    def providers(self) -> Iterable[str]:
        """Every provider in the snapshot."""
        return self._providers.keys()

    def rows(self, provider: str) -> Sequence[PriceRow]:
        """Return the provider's rows."""
        raw = self._providers.get(provider)
        if raw is None:
            return ()
        known = {"source": raw["source"], "checked": self.imported_on, "origin": self.origin}
        return [_row(provider, fields, known) for fields in raw["rows"]]

    def aliases(self, provider: str) -> Sequence[ModelAlias]:
        """Return the provider's other names for models."""
        raw = self._providers.get(provider)
        if raw is None:
            return ()
        exact = [ModelAlias(provider=provider, name=n, model=m) for n, m in raw["names"]]
        return exact + [ModelAlias(provider=provider, name=n, match="regex", model=m) for n, m in raw["patterns"]]


def _row(provider: str, fields: Sequence[Any], known: Mapping[str, str]) -> PriceRow:
    model, unit, price, per, *rest = fields
    more: dict[str, Any] = rest[0] if rest else {}
    tier, window = more.get("tier"), more.get("window")
    return PriceRow(
        provider=provider,
        model=model,
        unit=unit,
        price_usd=Decimal(price),
        per=Decimal(per),
        valid_from_unix_ns=more.get("from", ALWAYS),
        valid_to_unix_ns=more.get("to", FOREVER),
        when=tuple((name, wanted) for name, wanted in more.get("when", ())),
        context_tier=None if tier is None else ContextTier(above=tier[0], is_inclusive=tier[1]),
        window=None if window is None else Window(minutes=tuple((start, end) for start, end in window)),
        minimum=Decimal(more["minimum"]) if "minimum" in more else None,
        is_imported=True,
        is_secondary=known["origin"].startswith(SECONDARY),
        assumed=more.get("assumed", ""),
        source=more.get("source", known["source"]),
        checked=more.get("checked", known["checked"]),
        confidence="medium",
    )


def dump_snapshot(providers: Sequence[ImportedProvider], *, origin: str, imported_on: str) -> str:
    """Return an import as snapshot text, one row a line, so that a change of prices reads as a diff."""
    blocks = [f"{json.dumps(one.provider)}: {_provider_text(one)}" for one in providers]
    head = f'{{"format": {_FORMAT}, "origin": {json.dumps(origin)}, "imported_on": {json.dumps(imported_on)},'
    return f'{head}\n"providers": {{\n' + ",\n".join(blocks) + "\n}}\n"


def _provider_text(one: ImportedProvider) -> str:
    names = [[alias.name, alias.model] for alias in one.aliases if alias.match == "exact"]
    patterns = [[alias.name, alias.model] for alias in one.aliases if alias.match == "regex"]
    rows = [_fields(row) for row in one.rows]
    return (
        f'{{"source": {json.dumps(one.source)},\n'
        f'"names": {_lines(names)},\n"patterns": {_lines(patterns)},\n"rows": {_lines(rows)}}}'
    )


def _lines(items: Sequence[Any]) -> str:
    return "[" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "]"


def _fields(row: PriceRow) -> list[Any]:
    more: dict[str, Any] = {}
    if row.valid_from_unix_ns != ALWAYS:
        more["from"] = row.valid_from_unix_ns
    if row.valid_to_unix_ns != FOREVER:
        more["to"] = row.valid_to_unix_ns
    if row.when:
        more["when"] = row.when
    if row.context_tier:
        more["tier"] = [row.context_tier.above, row.context_tier.is_inclusive]
    if row.window:
        more["window"] = row.window.minutes
    if row.minimum is not None:
        more["minimum"] = str(row.minimum)
    for name in ("assumed", "source", "checked"):
        if text := getattr(row, name):
            more[name] = text
    fields: list[Any] = [row.model, row.unit, str(row.price_usd), str(row.per)]
    return [*fields, more] if more else fields
