"""Load the price book: what ships with the package, with the operator's files and the database's rows over it.

Loading must be quick, since every command does it: the imported list is a snapshot that becomes rows provider
by provider when asked, and the curated files are parsed once a process.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from cost_exporter.domain.pricing.book import PriceBook, PriceRows, PriceSource
from cost_exporter.domain.pricing.rows import LIST, Factor, ModelAlias, PriceRow
from cost_exporter.prices.price_file import PriceFile, parse_price_file, read_price_file
from cost_exporter.prices.snapshot import Snapshot

__all__ = ["curated_files", "load_book", "shipped_snapshot", "shipped_voice"]

_PACKAGE = "cost_exporter.prices"


def load_book(
    *paths: Path | str,
    extra_rows: Iterable[PriceRow] = (),
    extra_factors: Iterable[Factor] = (),
    extra_aliases: Iterable[ModelAlias] = (),
    snapshot: Snapshot | None = None,
) -> PriceBook:
    """Return the book of all prices in force.

    Later ones supersede: the imported lists, the curated files, `extra_rows` (from the database), then the files in
    `paths`, which are for use without a database. `snapshot` is a newer import than the one that ships.
    """
    imported = snapshot or shipped_snapshot()
    given = [read_price_file(Path(path)) for path in paths]
    extra = PriceFile(name="database", rows=[*extra_rows], factors=[*extra_factors], aliases=[*extra_aliases])
    sources: list[PriceSource] = [shipped_voice(), imported, _curated_source()]
    sources += [PriceRows(file.rows, file.aliases) for file in (extra, *given)]
    return PriceBook(
        sources,
        factors=[factor for file in (extra, *given) for factor in file.factors],
        version=_version(imported, [extra, *given]),
        override_books={row.book for file in (extra, *given) for row in file.rows if row.book != LIST},
        snapshots_until=imported.imported_on.replace("-", ""),
    )


@cache
def shipped_snapshot() -> Snapshot:
    """Return the import that ships with the package."""
    return Snapshot(files(_PACKAGE).joinpath("snapshot.json").read_text(encoding="utf-8"))


@cache
def shipped_voice() -> Snapshot:
    """Return the import of speech and telephony prices that ships with the package."""
    return Snapshot(files(_PACKAGE).joinpath("voice.json").read_text(encoding="utf-8"))


@cache
def curated_files() -> tuple[PriceFile, ...]:
    """Return the curated files that ship with the package, by name."""
    found = sorted(files(_PACKAGE).iterdir(), key=lambda entry: entry.name)
    return tuple(
        parse_price_file(entry.read_text(encoding="utf-8"), entry.name, book=LIST)
        for entry in found
        if entry.name.endswith(".yaml")
    )


@cache
def _curated_source() -> PriceRows:
    contents = curated_files()
    return PriceRows(
        [row for file in contents for row in file.rows], [one for file in contents for one in file.aliases]
    )


def _version(imported: Snapshot, loaded: Sequence[PriceFile]) -> str:
    """Return a hash of everything a quote depends on: equal prices, equal version."""
    digest = sha256(f"{imported.version} {shipped_voice().version}".encode())
    for file in (*curated_files(), *loaded):
        for one in (*file.rows, *file.factors, *file.aliases):
            digest.update(repr(one).encode())
    return digest.hexdigest()[:12]
