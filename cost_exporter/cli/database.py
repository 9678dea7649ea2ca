"""Find the database that a command works on: `CALLFARE_DATABASE_URL`, else the embedded server of this machine."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from cost_exporter.errors import StoreUnavailable
from cost_exporter.settings import Settings, load_settings
from cost_exporter.store.database import session
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.database.unreachable import unreachable
from cost_exporter.store.reading import Reader

__all__ = ["connect", "embedded_postgres", "open_connection", "open_database", "open_reader"]


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """Return the embedded server of these settings; it is not started."""
    return EmbeddedPostgres(settings.data_dir / "postgres")


@contextmanager
def open_database(settings: Settings | None = None) -> Generator[str]:
    """Lend the URL of the database. An embedded server that does not run is started, and stopped afterwards."""
    settings = settings or load_settings()
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = embedded_postgres(settings)
    if not (server.data_dir / "PG_VERSION").exists():
        raise StoreUnavailable(
            f"there is no database in {settings.data_dir}; run `callfare up` first, or set CALLFARE_DATABASE_URL"
        )
    url = server.start()
    try:
        yield url
    finally:
        if not server.was_adopted:
            server.stop()


@contextmanager
def connect(database_url: str, *, autocommit: bool = True) -> Generator[psycopg.Connection[TupleRow]]:
    """Lend a connection that commits each statement, or at its end. Raises `StoreUnavailable` with what to do."""
    try:
        connection = session.connect(database_url, autocommit=autocommit)
    except psycopg.Error as error:
        raise unreachable(error) from error
    with connection:
        yield connection


@contextmanager
def open_connection() -> Generator[psycopg.Connection[TupleRow]]:
    """Lend a connection to the database that commits each statement. Raises `SchemaMismatch` with what to do."""
    with open_database() as url, connect(url) as connection:
        check_schema(connection)
        yield connection


@contextmanager
def open_reader(settings: Settings | None = None) -> Generator[Reader]:
    """Lend a reader of the database."""
    with open_database(settings) as url, Reader.connect(url) as reader:
        yield reader
