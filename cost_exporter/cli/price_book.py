"""Find the price book that commands work with: the one that the service prices by."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from cost_exporter.cli.database import open_connection
from cost_exporter.cli.output import print_notice
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.prices import load_book
from cost_exporter.settings import load_settings
from cost_exporter.store.price_books import current_book, load_new_files

__all__ = ["book_in_database", "book_in_force", "open_prices_if_any"]

Connection = psycopg.Connection[TupleRow]


def book_in_database(connection: Connection) -> PriceBook:
    """Return the book in force, after loading the files of `CALLFARE_PRICES` that say something new."""
    for name, version_id in load_new_files(connection, load_settings().prices).items():
        print_notice(f"loaded {name}, which is new in CALLFARE_PRICES, as version {version_id}")
    return current_book(connection)


@contextmanager
def open_prices_if_any() -> Generator[Connection | None]:
    """Lend a connection; None where there is no database yet, which is no error for looking at prices."""
    settings = load_settings()
    if settings.database_url is None and not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        yield None
        return
    with open_connection() as connection:
        yield connection


@contextmanager
def book_in_force() -> Generator[PriceBook]:
    """Lend the book in force; without a database, the shipped prices under the files of `CALLFARE_PRICES`."""
    with open_prices_if_any() as connection:
        yield load_book(*load_settings().prices) if connection is None else book_in_database(connection)
