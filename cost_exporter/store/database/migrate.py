"""Bring the schema up to this program: numbered .sql files, forward only, each in one transaction, by statements.

A file that was applied is never edited (its checksum is kept); what is wrong is put right by a later file. An
advisory lock lets one process migrate while the others wait.

A schema that is newer than the program is refused, unless each step that the program does not know begins with
`-- Expand:`. Such a step only adds what older programs can do without, so services are upgraded one by one; a later
release takes away what nobody uses any more.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, LiteralString, cast

import psycopg

from cost_exporter.errors import SchemaMismatch, StoreUnavailable
from cost_exporter.store.database.locks import Lock, lock_session
from cost_exporter.store.database.roles import let_owners_see, make_roles
from cost_exporter.store.database.session import connect
from cost_exporter.store.database.split import split_statements
from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable

__all__ = ["Migration", "check_schema", "migrate", "migrations"]

_EXPANDS: Final = "-- Expand:"
_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: LiteralString

    @property
    def lets_older_work(self) -> bool:
        """Whether a program that does not know this step may go on working with the schema."""
        return self.sql.startswith(_EXPANDS)

    @property
    def sha256(self) -> str:
        """The checksum of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all steps that this program knows, in order."""
    found: list[Migration] = []
    for file in files("cost_exporter.store").joinpath("sql/migrations").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            text = cast("LiteralString", file.read_text(encoding="utf-8"))
            found.append(Migration(version=int(match[1]), name=match[2], sql=text))
    return sorted(found, key=lambda each: each.version)


def migrate(database_url: str, known: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing and return the names of the steps applied; none if the schema was up to date.

    Who does not own the schema changes nothing. Raises `SchemaMismatch` where anything is missing then.
    """
    steps = migrations() if known is None else known
    try:
        connection = connect(database_url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise unreachable(error) from error
    try:
        with connection:
            if known is None and _is_only_a_user(connection):
                check_schema(connection)
                return []
            lock_session(connection, Lock.MIGRATE)
            connection.execute("set client_min_messages = warning")
            connection.execute(statement("make_schema"))
            connection.execute(statement("make_migration_table"))
            if connection.execute(statement("lacks_compatibility")).fetchone() is not None:
                connection.execute(statement("add_compatibility"))
            if known is None:
                let_owners_see(connection)
            applied = [_apply(connection, step) for step in _missing(_applied(connection), steps)]
            if applied and known is None:
                connection.execute(_comments())
            if known is None:
                make_roles(connection)
                let_owners_see(connection)
            return applied
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnavailable("the schema is in use and could not be changed in 10 s; try again") from error
    except psycopg.OperationalError as error:
        raise unreachable(error) from error


def _is_only_a_user(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Return whether the schema is there and another user's, who has to change it."""
    row = connection.execute(statement("is_only_a_user")).fetchone()
    return row is not None and bool(row[0])


def _comments() -> LiteralString:
    """Return what each table and column is for. Not a migration: a description may be corrected later."""
    text = files("cost_exporter.store").joinpath("sql/comments.sql").read_text(encoding="utf-8")
    return cast("LiteralString", text)


def check_schema(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Raise `SchemaMismatch` unless this program can work with the schema: its own, or a newer one that lets it."""
    exists = connection.execute(statement("migration_table")).fetchone()
    if exists is None or exists[0] is None:
        raise SchemaMismatch("the database has no callfare schema: run `callfare migrate`, or start a service")
    missing = [f"{step.version:04}_{step.name}" for step in _missing(_applied(connection), migrations())]
    if missing:
        raise SchemaMismatch(f"the database lacks {', '.join(missing)}: run `callfare migrate` as the schema's owner")


def _applied(connection: psycopg.Connection[tuple[object, ...]]) -> dict[int, tuple[str, str, bool]]:
    rows = connection.execute(statement("applied_migrations")).fetchall()
    return {cast("int", version): (str(name), str(sha256), bool(lets)) for version, name, sha256, lets in rows}


def _missing(applied: dict[int, tuple[str, str, bool]], known: Sequence[Migration]) -> Iterator[Migration]:
    """Yield the steps to apply, after making sure that what was applied is what we know."""
    by_version = {step.version: step for step in known}
    for version, (name, sha256, lets_older_work) in sorted(applied.items()):
        step = by_version.get(version)
        if step is None and lets_older_work:
            continue
        if step is None:
            raise SchemaMismatch(
                f"the database has {version:04}_{name}, which this program does not know: upgrade callfare"
            )
        if step.sha256 != sha256:
            raise SchemaMismatch(
                f"{version:04}_{name}.sql was edited after it was applied: restore it and write a later one"
            )
    yield from (step for step in known if step.version not in applied)


def _apply(connection: psycopg.Connection[tuple[object, ...]], step: Migration) -> str:
    with connection.transaction():
        # Rather fail than queue behind a long reader while every writer queues behind us.
        connection.execute("set local lock_timeout = '10s'")
        for each in split_statements(step.sql):
            connection.execute(each)
        parameters = {
            "version": step.version,
            "name": step.name,
            "sha256": step.sha256,
            "lets_older_work": step.lets_older_work,
        }
        connection.execute(statement("insert_migration"), parameters)
    return f"{step.version:04}_{step.name}"
