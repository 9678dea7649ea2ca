"""A budget of an hour under a clock that jumps: each window has what was held and spent in it, and nothing else."""

import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

import httpx

from cost_exporter.domain.money import ZERO
from cost_exporter.store.database.session import connect

__all__ = ["BudgetWindows"]

_TENANT: Final = "tenant-0"
"""One of those that clients send for."""
_ESTIMATE_USD: Final = Decimal("0.25")
_BUDGET: Final = {"tenant": _TENANT, "window": "hour", "limit_usd": "1000000"}
_HOUR: Final = timedelta(hours=1)
_SPENT: Final = """
select date_trunc('hour', started_at, 'UTC'), sum(cost_usd) from callfare.cost_record
where status <> 'duplicate' and tenant_id = %s group by 1
"""
_RECEIVED: Final = "select max(received_at) - min(received_at) > interval '55 minutes' from callfare.record"
_STATE: Final = "select spent_usd, reserved_usd from callfare.budget_state(%s) where name = 'hourly'"


class BudgetWindows:
    """Reserves through the service, and compares with what it knows of each hour."""

    def __init__(self, web_address: str, database_url: str) -> None:
        """Name both; nothing is asked of them yet."""
        self._client = httpx.Client(base_url=f"http://{web_address}", timeout=60, trust_env=False)
        self._database_url = database_url
        self._held_usd: defaultdict[datetime, Decimal] = defaultdict(lambda: ZERO)
        self._problems: list[str] = []

    def __enter__(self) -> Self:
        """Make the budget."""
        self._client.put("/v1/budgets/hourly", json=_BUDGET).raise_for_status()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def reserve(self, offset_seconds: int) -> None:
        """Reserve where the clock shows so much more than the time of day: in the hour that it shows."""
        earliest = _hour_of(time.time() + offset_seconds)
        answer = self._client.post("/v1/budgets/reserve", json={"tenant": _TENANT, "estimate_usd": str(_ESTIMATE_USD)})
        latest = _hour_of(time.time() + offset_seconds)
        answer.raise_for_status()
        (budget,) = answer.json()["data"]["budgets"]
        window = datetime.fromisoformat(budget["resets_at"]) - _HOUR
        self._held_usd[window] += _ESTIMATE_USD
        if not earliest <= window <= latest:
            self._problems.append(f"reserved in the hour of {window}, not in that of {earliest}")

    def problems(self) -> list[str]:
        """Return what is wrong in any window, after all spans are stored."""
        found = list(self._problems)
        with connect(self._database_url) as connection:
            row: Any = connection.execute(_RECEIVED).fetchone()
            if not row or not row[0]:
                found.append("no clock was set: all spans were received within an hour")
            spent_usd: dict[datetime, Decimal] = dict(connection.execute(_SPENT, (_TENANT,)).fetchall())
            for window in sorted(spent_usd.keys() | self._held_usd.keys()):
                row = connection.execute(_STATE, (window + _HOUR / 2,)).fetchone()
                expected = spent_usd.get(window, ZERO), self._held_usd[window]
                if tuple(row or ()) != expected:
                    found.append(f"the hour of {window} has spent and holds {row}, not {expected}")
        return found


def _hour_of(at_unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(at_unix_seconds, UTC).replace(minute=0, second=0, microsecond=0)
