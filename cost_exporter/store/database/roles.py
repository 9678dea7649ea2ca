"""The roles that the service runs in, so that the database itself keeps tenants apart (row-level security).

    callfare_service          what the service does: it stores and reads, changes no schema and owns nothing

    callfare_reader           one tenant: `set_config('callfare.tenant', NAME, true)`
    callfare_reader_several   some tenants: the same with an array, `{acme,beta}`
    callfare_reader_all       every tenant

Without the setting the first two readers see no row. None of the three can log in, owns anything, writes anything or
reads what belongs to no tenant. A connection of the service takes one for a transaction
(`set_config('role', …, true)`), which also works through a pooler. Roles are of the whole server, so a restored or
copied database may lack its grants: `migrate` makes what is missing each time it runs.

Policies are forced on the owner of the tables as well. It sees every row as a member of the service's role; a policy of
its own would put its name into every dump, and no server without that name could restore one.
"""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from cost_exporter.errors import SchemaMismatch, StoreUnavailable
from cost_exporter.store.database.statements import statement

__all__ = [
    "ALL",
    "ONE",
    "SERVICE",
    "SEVERAL",
    "TenantLimits",
    "let_owners_see",
    "make_roles",
    "notes_on_login",
    "problems_of_roles",
]

ONE: Final = "callfare_reader"
SEVERAL: Final = "callfare_reader_several"
ALL: Final = "callfare_reader_all"
_ROLES: Final = (ONE, SEVERAL, ALL)
SERVICE: Final = "callfare_service"
_FORMER_OWNER_POLICY: Final = "callfare_owner"
"""Earlier versions made one for the user that ran `migrate`."""
_APPENDED: Final = ("audit",)
"""Tables that the service adds rows to and never changes one of."""
_TENANT: Final = "nullif(current_setting('callfare.tenant', true), '')"
_CONDITION_BY_ROLE: Final[dict[str, LiteralString]] = {
    ONE: f"tenant_id = {_TENANT}",
    SEVERAL: f"tenant_id = any({_TENANT}::text[])",
    ALL: "true",
}
_OF_EVERY_TENANT: Final = ("budget", "closing")
"""Tables in which a row of tenant `*` is for each tenant that has none of its own."""
_OF_NO_TENANT: Final = ("fee_rule", "margin_rule", "rate", "revenue_rule", "schema_migration")
"""Tables without a tenant that views need, and that hold nothing of one."""
_INHERITANCE_BY_GRANT_SINCE: Final = 160_000
_ATTEMPTS_MAX: Final = 20
_WAIT_SECONDS: Final = 0.05
_AT_ONCE: Final = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InternalError_)
_log = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]


def make_roles(connection: Connection) -> None:
    """Make the roles, their policies and their grants where they are missing. The owner of the schema does it.

    Who may not make roles gets a warning: the service works, with nothing but its own conditions between tenants.
    """
    for attempt in range(_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                _make_missing_roles(connection)
                _let_owners_be_members(connection)
                _protect_relations(connection)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject) as error:
            _log.warning(
                "the roles for reading cannot be made (%s): only the service's own conditions keep tenants apart;"
                " `callfare doctor` says what is missing",
                str(error).splitlines()[0],
            )
        except _AT_ONCE:
            # Roles are of the whole server: another database of it makes them at this moment.
            if attempt + 1 == _ATTEMPTS_MAX:
                raise
            time.sleep(_WAIT_SECONDS)
        else:
            return


def let_owners_see(connection: Connection) -> None:
    """Make sure that the owner of the tables sees every row. A superuser or the owner does it, before and after steps.

    Raises `SchemaMismatch` where policies are forced on an owner whom they show nothing: it would add up, change and
    dump nothing, and notice nothing.
    """
    if not _owners_who_see_nothing(connection):
        return
    make_roles(connection)
    owners = _owners_who_see_nothing(connection)
    if owners:
        raise SchemaMismatch(
            f"row-level security keeps rows from {owners[0]}, who owns the tables:"
            f" run `grant {SERVICE} to {owners[0]}` and `callfare migrate` as a superuser"
        )


def notes_on_login(connection: Connection) -> list[str]:
    """Return by what the user of this connection goes around the policies when it is not reading for a tenant."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statement("own_rights")).fetchone()
    assert row is not None
    is_superuser, bypasses, owns = row
    reasons = [
        reason
        for reason, holds in (
            ("is a superuser", is_superuser),
            ("has BYPASSRLS", bypasses and not is_superuser),
            ("owns the tables", owns),
        )
        if holds
    ]
    if not reasons:
        return []
    return [f"the database user {' and '.join(reasons)}: run the service as one that only has the role {SERVICE}"]


def problems_of_roles(connection: Connection) -> list[str]:
    """Return why the database would not keep tenants apart; nothing where it does."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        known = {
            name: (bypasses, can_take)
            for name, bypasses, can_take in cursor.execute(statement("reading_roles"), {"names": list(_ROLES)})
        }
        unprotected = cursor.execute(statement("unprotected"), {"names": list(_ROLES)}).fetchall()
    problems = [f"the role {name} is missing" for name in _ROLES if name not in known]
    for name, (bypasses, can_take) in known.items():
        if bypasses:
            problems.append(f"the role {name} goes around row-level security: it is a superuser, has BYPASSRLS or owns")
        if not can_take:
            problems.append(f"the service's user may not take the role {name}: `grant {name} to` it")
    problems += [f"callfare.{relation} can be read by {name} without a policy" for relation, name in unprotected]
    return problems


class TenantLimits:
    """Keeps what is read through connections of one database to some tenants."""

    def __init__(self) -> None:
        self._are_kept = False
        self._last_problems: list[str] = []

    @contextmanager
    def only(self, connection: Connection, tenants: frozenset[str] | None) -> Generator[None]:
        """Limit what is read meanwhile to these tenants; None for all of them.

        Where the database cannot do it, the caller's conditions have to; they are written for one tenant. Raises
        `StoreUnavailable` for several then.
        """
        if self._can(connection):
            with connection.transaction():
                _take_role(connection, tenants)
                yield
        elif tenants is None or len(tenants) == 1:
            yield
        else:
            raise StoreUnavailable(
                "a token of several tenants reads by row-level security, which this database lacks;"
                " `callfare doctor` says why"
            )

    def _can(self, connection: Connection) -> bool:
        if not self._are_kept:
            problems = problems_of_roles(connection)
            if problems and problems != self._last_problems:
                _log.error("only the service's own conditions keep tenants apart: %s", "; ".join(problems))
            self._last_problems = problems
            self._are_kept = not problems
        return self._are_kept


def _take_role(connection: Connection, tenants: frozenset[str] | None) -> None:
    """Limit the rest of the transaction. Raises `StoreUnavailable` where the role is not there any more."""
    try:
        if tenants is None:
            connection.execute(statement("take_role"), {"role": ALL, "tenant": ""})
        elif len(tenants) == 1:
            connection.execute(statement("take_role"), {"role": ONE, "tenant": next(iter(tenants))})
        else:
            connection.execute(statement("take_role_of_several"), {"role": SEVERAL, "tenants": sorted(tenants)})
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
        raise StoreUnavailable("the roles for reading are gone from the database; run `callfare migrate`") from error


def _make_missing_roles(connection: Connection) -> None:
    if connection.execute(statement("service_role"), {"service": SERVICE}).fetchone() is None:
        connection.execute(sql.SQL(statement("make_service_role")).format(role=sql.Identifier(SERVICE)))
    found = connection.execute(statement("reading_roles"), {"names": list(_ROLES)}).fetchall()
    known = {name: can_take for name, _, can_take in found}
    for name in _ROLES:
        role = sql.Identifier(name)
        if name not in known:
            connection.execute(sql.SQL(statement("make_role")).format(role=role))
        if not known.get(name):
            connection.execute(sql.SQL(statement("let_take_role")).format(role=role))
        if not connection.execute(statement("service_can_take"), {"service": SERVICE, "name": name}).fetchone():
            connection.execute(
                sql.SQL(statement("let_service_take_role")).format(role=role, service=sql.Identifier(SERVICE))
            )


def _let_owners_be_members(connection: Connection) -> None:
    is_inherited_by_grant = connection.info.server_version >= _INHERITANCE_BY_GRANT_SINCE
    name = "let_owner_see_whatever_it_inherits" if is_inherited_by_grant else "let_owner_see"
    grant = sql.SQL(statement(name))
    for (owner,) in connection.execute(statement("owners_outside_the_service"), {"service": SERVICE}).fetchall():
        connection.execute(grant.format(service=sql.Identifier(SERVICE), owner=sql.Identifier(owner)))
        if (owner,) in connection.execute(statement("owners_outside_the_service"), {"service": SERVICE}).fetchall():
            raise psycopg.errors.InsufficientPrivilege(f"{owner}, who owns the tables, is NOINHERIT")


def _owners_who_see_nothing(connection: Connection) -> list[str]:
    found = connection.execute(statement("owners_who_see_nothing"), {"service": SERVICE}).fetchall()
    return [owner for (owner,) in found]


def _protect_relations(connection: Connection) -> None:
    parameters = {
        "names": list(_ROLES),
        "of_no_tenant": list(_OF_NO_TENANT),
        "service": SERVICE,
        "former_policy": _FORMER_OWNER_POLICY,
    }
    found = connection.execute(statement("relations_to_protect"), parameters).fetchall()
    if found:
        for name in (*_ROLES, SERVICE):
            connection.execute(sql.SQL(statement("let_enter_schema")).format(role=sql.Identifier(name)))
        connection.execute(sql.SQL(statement("let_make_months")).format(role=sql.Identifier(SERVICE)))
    for relation, kind, has_tenant, is_shown in found:
        table = sql.Identifier("callfare", relation)
        if has_tenant and kind != "v":
            _make_policies(connection, table, shows_common=relation in _OF_EVERY_TENANT)
        if is_shown:
            roles = sql.SQL(", ").join(map(sql.Identifier, _ROLES))
            connection.execute(sql.SQL(statement("let_read")).format(table=table, roles=roles))
        name = "let_read" if kind == "v" else "let_append" if relation in _APPENDED else "let_write"
        service = sql.Identifier(SERVICE)
        connection.execute(sql.SQL(statement(name)).format(table=table, roles=service))


def _make_policies(connection: Connection, table: sql.Identifier, *, shows_common: bool) -> None:
    connection.execute(sql.SQL(statement("protect_table")).format(table=table))
    for name, condition in _CONDITION_BY_ROLE.items():
        role = sql.Identifier(name)
        rows = sql.SQL("({}) or tenant_id = '*'" if shows_common else "{}").format(sql.SQL(condition))
        connection.execute(sql.SQL(statement("drop_policy")).format(role=role, table=table))
        policy = sql.SQL(statement("make_policy"))
        connection.execute(policy.format(role=role, table=table, condition=rows))
    for policy in (_FORMER_OWNER_POLICY, SERVICE):
        connection.execute(sql.SQL(statement("drop_policy")).format(role=sql.Identifier(policy), table=table))
    service = sql.Identifier(SERVICE)
    connection.execute(sql.SQL(statement("make_open_policy")).format(name=service, role=service, table=table))
    connection.execute(sql.SQL(statement("force_policies")).format(table=table))
