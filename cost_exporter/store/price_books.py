"""Price books in the database: what was loaded or imported here, appended version by version.

A service queries `latest_version` every second, which is one index lookup, and loads the book again only if it
changed. Rows are written once and never updated; of two prices the one that was loaded later wins. Files named by
`CALLFARE_PRICES` take part in that order: each is loaded as a version when its content is new.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import psycopg

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import (
    ALWAYS,
    FOREVER,
    LIST,
    ContextTier,
    Factor,
    Match,
    ModelAlias,
    PriceRow,
    Window,
)
from cost_exporter.domain.settling.settle import Price
from cost_exporter.prices.loader import load_book
from cost_exporter.prices.price_file import PriceFile, read_price_file
from cost_exporter.prices.snapshot import Snapshot
from cost_exporter.store.database.locks import Lock, lock_transaction
from cost_exporter.store.database.statements import statement

__all__ = [
    "BookKeeper",
    "BookVersion",
    "PastBooks",
    "book_of_version",
    "current_book",
    "latest_snapshot",
    "latest_version",
    "latest_versions",
    "load_new_files",
    "loaded_prices",
    "save_price_file",
    "save_snapshot",
]

Connection = psycopg.Connection[Any]

_PAST_BOOKS_MAX: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def latest_version(connection: Connection) -> int:
    """Return the number of the newest version; 0 where nothing was ever loaded. Cheap enough to ask every second."""
    row = connection.execute(statement("latest_version")).fetchone()
    return row[0] if row is not None and row[0] is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BookVersion:
    """One version of the book: a file that was loaded, or an import."""

    version_id: int
    kind: str
    """load or import."""
    name: str
    recorded_at: datetime


def latest_versions(connection: Connection) -> list[BookVersion]:
    """Return the newest version of each file and of the imports, the newest last."""
    return [
        BookVersion(version_id=version_id, kind=kind, name=name, recorded_at=recorded_at)
        for version_id, kind, name, recorded_at in connection.execute(statement("latest_versions"))
    ]


def save_price_file(connection: Connection, file: PriceFile) -> int:
    """Append a price file as a new version, in one transaction, and return its number."""
    content_sha256 = file.content_sha256 or sha256(repr((file.rows, file.factors, file.aliases)).encode()).hexdigest()
    with connection.transaction(), connection.cursor() as cursor:
        version_id = _new_version(cursor, name=file.name, content_sha256=content_sha256, row_count=len(file.rows))
        _insert_rows(cursor, version_id, file.rows)
        for position, factor in enumerate(file.factors):
            cursor.execute(
                statement("insert_factor"),
                (version_id, position, factor.book, factor.provider, factor.model, factor.factor, *_validity(factor)),
            )
        for position, alias in enumerate(file.aliases):
            cursor.execute(
                statement("insert_alias"),
                (version_id, position, alias.provider, alias.name, alias.match, alias.model, *_validity(alias)),
            )
    return version_id


def load_new_files(connection: Connection, paths: Sequence[Path]) -> dict[str, int]:
    """Append each file with new content as a version; return the numbers of the versions by file.

    Content is new if it differs from the same file when it was last loaded. A file that was never loaded is not new
    if another one had the same content: `prices load` read it from another path. So a correction that was loaded
    after a file stays in force until the file itself changes.
    """
    loaded: dict[str, int] = {}
    for file in [read_price_file(path) for path in paths]:
        named = replace(file, name=str(Path(file.name).resolve()))
        with connection.transaction(), connection.cursor() as cursor:
            lock_transaction(cursor, Lock.PRICE_BOOKS)
            says_anything = bool(named.rows or named.factors or named.aliases)
            if says_anything and _is_new(cursor, named):
                loaded[named.name] = save_price_file(connection, named)
    return loaded


def _is_new(cursor: psycopg.Cursor[Any], file: PriceFile) -> bool:
    parameters = {"name": file.name, "content": file.content_sha256}
    names = ("loaded_before", "loaded_elsewhere")
    found = next(filter(None, (cursor.execute(statement(name), parameters).fetchone() for name in names)), None)
    return found is None or not found[0]


def save_snapshot(connection: Connection, text: str) -> int | None:
    """Append an import as a new version and return its number; None where the newest import is the same."""
    snapshot = Snapshot(text)
    rows = [row for provider in snapshot.providers for row in snapshot.rows(provider)]
    with connection.transaction(), connection.cursor() as cursor:
        newest = latest_snapshot(connection)
        if newest is not None and newest.version == snapshot.version:
            return None
        content_sha256 = sha256(text.encode()).hexdigest()
        version_id = _new_version(
            cursor, name=snapshot.origin, content_sha256=content_sha256, row_count=len(rows), snapshot=text
        )
        _insert_rows(cursor, version_id, rows)
    return version_id


def latest_snapshot(connection: Connection, until: int | None = None) -> Snapshot | None:
    """Return the newest import; None where the one that ships with the program is all there is."""
    row = connection.execute(statement("latest_snapshot"), {"until": until}).fetchone()
    return None if row is None else Snapshot(row[0])


def loaded_prices(connection: Connection, until: int | None = None) -> PriceFile:
    """Return everything ever loaded, or loaded up to a version, in order: later rows supersede equal ones."""
    parameters = {"until": until}
    return PriceFile(
        name="database",
        rows=[_row(fields) for fields in connection.execute(statement("loaded_prices"), parameters)],
        factors=[_factor(fields) for fields in connection.execute(statement("loaded_factors"), parameters)],
        aliases=[_alias(fields) for fields in connection.execute(statement("loaded_aliases"), parameters)],
    )


def current_book(connection: Connection, paths: Sequence[Path] = ()) -> PriceBook:
    """Return the book in force: shipped, imported, and loaded, which the new ones of the operator's files are first."""
    load_new_files(connection, paths)
    return _book_until(connection, None)


def book_of_version(connection: Connection, version: str) -> PriceBook | None:
    """Return the lists of the book that had this version; None where no version of today's program is that one.

    Prices of the operator, of tenants and of API keys are left out.
    """
    numbers: list[int] = [row[0] for row in connection.execute(statement("version_numbers"))]
    for until in (*numbers, 0):
        book = _book_until(connection, until)
        if book.version == version:
            loaded = loaded_prices(connection, until)
            rows = [row for row in loaded.rows if row.book == LIST]
            snapshot = latest_snapshot(connection, until)
            return load_book(extra_rows=rows, extra_aliases=loaded.aliases, snapshot=snapshot)
    return None


class PastBooks:
    """The books of all versions, as far as today's program makes them again; those asked for last are kept."""

    def __init__(self, connection: Connection) -> None:
        """Make none yet."""
        self._connection = connection
        self._numbers: list[int] = [row[0] for row in connection.execute(statement("version_numbers"))]
        self._numbers.append(0)
        self._number_by_version: dict[str, int] = {}
        self._books: dict[str, PriceBook] = {}

    def price(self, version: str) -> Price | None:
        """Return the prices of a version; None where no version of today's program is that one."""
        book = self._books.pop(version, None)
        if book is None:
            number = self._number_by_version.get(version)
            book = self._found(version) if number is None else _book_until(self._connection, number)
            if book is None:
                return None
            if len(self._books) >= _PAST_BOOKS_MAX:
                del self._books[next(iter(self._books))]
        self._books[version] = book
        return book.price_of_call

    def _found(self, version: str) -> PriceBook | None:
        while self._numbers:
            number = self._numbers.pop(0)
            book = _book_until(self._connection, number)
            self._number_by_version[book.version] = number
            if book.version == version:
                return book
        return None


def _book_until(connection: Connection, until: int | None) -> PriceBook:
    loaded = loaded_prices(connection, until)
    return load_book(
        extra_rows=loaded.rows,
        extra_factors=loaded.factors,
        extra_aliases=loaded.aliases,
        snapshot=latest_snapshot(connection, until),
    )


class BookKeeper:
    """Holds the book in force for a running service and replaces it when a new version appears."""

    def __init__(self, connection: Connection, paths: Sequence[Path] = ()) -> None:
        """Load the files in `paths` that say something new as versions, and the book."""
        self.loaded_files = load_new_files(connection, paths)
        """Number of the version by file, of what was new."""
        self._version_id = latest_version(connection)
        self.book = current_book(connection)

    def refresh(self, connection: Connection) -> bool:
        """Load the book again if a version appeared, and return whether one did. An error leaves the book in force."""
        version_id = latest_version(connection)
        if version_id == self._version_id:
            return False
        self.book = current_book(connection)
        self._version_id = version_id
        return True


def _new_version(
    cursor: psycopg.Cursor[Any], *, name: str, content_sha256: str, row_count: int, snapshot: str | None = None
) -> int:
    lock_transaction(cursor, Lock.PRICE_BOOKS)
    kind = "load" if snapshot is None else "import"
    parameters = {
        "kind": kind,
        "name": name,
        "content_sha256": content_sha256,
        "row_count": row_count,
        "snapshot": snapshot,
    }
    cursor.execute(statement("insert_version"), parameters)
    row = cursor.fetchone()
    assert row is not None
    return cast("int", row[0])


def _insert_rows(cursor: psycopg.Cursor[Any], version_id: int, rows: Sequence[PriceRow]) -> None:
    with cursor.copy(statement("copy_prices")) as copy:
        for position, row in enumerate(rows):
            copy.write_row((version_id, position, *_fields(row)))


def _fields(row: PriceRow) -> tuple[Any, ...]:
    return (
        *(row.book, row.provider, row.model, row.match, row.unit, row.price_usd, row.per, *_validity(row)),
        json.dumps(dict(row.when)),
        None if row.context_tier is None else _tier_json(row.context_tier),
        None if row.window is None else _window_json(row.window),
        *(row.increment, row.minimum, row.round_scope, row.multiplier, row.bill_on_error, row.inherits_list),
        *(row.is_imported, row.assumed, row.source, row.checked, row.confidence, row.note, row.price_id),
    )


def _validity(dated: PriceRow | Factor | ModelAlias) -> tuple[datetime | None, datetime | None]:
    start, end = dated.valid_from_unix_ns, dated.valid_to_unix_ns
    return (None if start == ALWAYS else _instant(start), None if end == FOREVER else _instant(end))


def _instant(unix_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)


def _unix_ns(instant: datetime | None, default: int) -> int:
    if instant is None:
        return default
    since = instant - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _tier_json(tier: ContextTier) -> str:
    return json.dumps({"basis": tier.basis, "above": tier.above, "inclusive": tier.is_inclusive})


def _window_json(window: Window) -> str:
    return json.dumps({"weekdays": sorted(window.weekdays), "minutes": window.minutes})


def _row(fields: Sequence[Any]) -> PriceRow:
    book, provider, model, match, unit, price, per, valid_from, valid_to, conditions, tier, window, *rest = fields
    increment, minimum, round_scope, multiplier, bill_on_error, inherits_list, *words = rest
    assumed, source, checked, confidence, note = words
    return PriceRow(
        book=book,
        provider=provider,
        model=model,
        match=cast("Match", match),
        unit=unit,
        price_usd=price,
        per=per,
        valid_from_unix_ns=_unix_ns(valid_from, ALWAYS),
        valid_to_unix_ns=_unix_ns(valid_to, FOREVER),
        when=tuple(sorted(conditions.items())),
        context_tier=None
        if tier is None
        else ContextTier(basis=tier["basis"], above=tier["above"], is_inclusive=tier["inclusive"]),
        window=None
        if window is None
        else Window(
            weekdays=frozenset(window["weekdays"]), minutes=tuple((start, end) for start, end in window["minutes"])
        ),
        increment=increment,
        minimum=minimum,
        round_scope=round_scope,
        multiplier=multiplier,
        bill_on_error=bill_on_error,
        inherits_list=inherits_list,
        assumed=assumed,
        source=source,
        checked=checked,
        confidence=confidence,
        note=note,
    )


def _factor(fields: Sequence[Any]) -> Factor:
    book, provider, model, factor, valid_from, valid_to = fields
    return Factor(
        book=book,
        provider=provider,
        model=model,
        factor=Decimal(factor),
        valid_from_unix_ns=_unix_ns(valid_from, ALWAYS),
        valid_to_unix_ns=_unix_ns(valid_to, FOREVER),
    )


def _alias(fields: Sequence[Any]) -> ModelAlias:
    provider, name, match, model, valid_from, valid_to = fields
    return ModelAlias(
        provider=provider,
        name=name,
        match=cast("Match", match),
        model=model,
        valid_from_unix_ns=_unix_ns(valid_from, ALWAYS),
        valid_to_unix_ns=_unix_ns(valid_to, FOREVER),
    )
