"""Receivers, judging and what became of it, in few words."""

from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

from cost_exporter.domain.alerting import ALERT_KINDS, Receiver
from cost_exporter.store.alerts.judging import judge_marked
from cost_exporter.store.alerts.sweeping import Seen, sweep
from tests.store.budgets.setting import NOW, Database

EVERYTHING = Receiver(name="ops", kinds=frozenset(ALERT_KINDS), over_usd=D(1000))


def judge(database: Database, *receivers: Receiver, at: datetime = NOW) -> int:
    return judge_marked(database, receivers or (EVERYTHING,), now=at)


def sweep_at(database: Database, *receivers: Receiver, at: datetime = NOW, **seen: Any) -> int | None:
    given: dict[str, Any] = {"listening_since": at - timedelta(days=30), "prices_checked_on": at.date()}
    return sweep(database, receivers or (EVERYTHING,), Seen(now=at, **(given | seen)))


def alerts(database: Database, kind: str = "budget") -> list[tuple[str, str, D]]:
    """Tenant, scope and threshold of each alert of a kind, in the order in which they were made."""
    query = "select tenant_id, scope, threshold from callfare.alert where kind = %s order by made_at, scope, threshold"
    return database.execute(query, (kind,)).fetchall()


def deliveries(database: Database) -> list[tuple[str, str]]:
    """Receiver and kind of all that has to be delivered."""
    return database.execute(
        "select receiver, kind from callfare.alert_delivery join callfare.alert using (alert_id) order by 1, 2"
    ).fetchall()
