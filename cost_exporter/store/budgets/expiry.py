"""What becomes of money whose process is silent.

Nobody can prove that a dead process had not already sent its last calls, which are billed and whose spans are lost.
So what hard budgets promised stays held until the window ends or somebody releases it; soft ones take it back,
because they refuse nothing. A process only seems silent while spans take long to get here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row

from cost_exporter.store.budgets.accounts import Connection
from cost_exporter.store.database.statements import statement

__all__ = ["SILENCE", "Held", "held_by_the_expired", "sweep_reservations"]

SILENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Money that a reservation of a silent process holds in a budget."""

    reservation_id: str
    kind: str
    budget: str
    tenant: str
    held_usd: Decimal


def sweep_reservations(connection: Connection, silence: timedelta = SILENCE, *, at: datetime | None = None) -> int:
    """Let the reservations of silent processes expire, and forget what is over. Returns how many expired."""
    parameters = {"silence": silence, "at": at}
    with connection.transaction():
        expired = connection.execute(statement("expire_reservations"), parameters).rowcount
    for name in ("return_of_soft_budgets", "forget_past_holds", "forget_reservations"):
        with connection.transaction():
            connection.execute(statement(name), parameters)
    return expired


def held_by_the_expired(connection: Connection, *, at: datetime | None = None) -> list[Held]:
    """Return what reservations of silent processes hold in the windows that run."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: list[dict[str, Any]] = cursor.execute(statement("held_by_the_expired"), {"at": at}).fetchall()
    return [
        Held(
            reservation_id=str(row["reservation_id"]),
            kind=row["kind"],
            budget=row["name"],
            tenant=row["tenant_id"],
            held_usd=row["held_usd"],
        )
        for row in rows
    ]
