"""Alerts: what they are about, who gets them, and when an hour is a spike.

Pure. An alert is one event: the same kind, tenant, scope, window and threshold are the same alert, in every service.
Its facts are figures and names; never the content of a call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any, Final, Literal, get_args

from cost_exporter.domain.money import CONTEXT, ZERO

__all__ = ["ALERT_KINDS", "NO_TENANT", "Alert", "AlertKind", "Every", "Receiver", "is_spike", "last_period"]

AlertKind = Literal[
    "budget",
    "unpriced",
    "workflow_over",
    "spike",
    "silence",
    "prices_old",
    "integrity",
    "kafka_lag",
    "too_old",
    "report",
]
"""`report` is not judged: it is due."""
ALERT_KINDS: Final[tuple[AlertKind, ...]] = tuple(kind for kind in get_args(AlertKind) if kind != "report")
"""Those that are judged."""
Every = Literal["day", "week", "month"]
NO_TENANT: Final = ""
"""Of alerts about the service itself."""
_SETTLED_AFTER: Final = timedelta(minutes=10)
"""What was spent in the last minutes of a period is on its way for a while."""
_SIGMAS: Final = Decimal(6)
_NORMAL: Final = Decimal("1.4826")
"""The median deviation of a normal distribution times this is its standard deviation."""
_SPREAD_MIN: Final = Decimal("0.1")
"""Of the median: seven equal hours have no deviation at all."""
_HOURS_MIN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that receivers have to hear of once."""

    kind: AlertKind
    tenant: str
    scope: str
    """What it is about within the tenant: a budget, a workflow, a service."""
    window_start: datetime
    """When what it is about began: the same in a later window is another alert."""
    threshold: Decimal = ZERO
    limit_usd: Decimal | None = None
    """Of a budget: a raised one lets thresholds above what is spent fire again."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver, and the alerts that it wants."""

    name: str
    kinds: frozenset[AlertKind]
    tenant: str | None = None
    """Only alerts of this tenant; None for all, and for those of the service itself."""
    over_usd: Decimal | None = None
    spike_min_usd: Decimal = ZERO
    silence: timedelta = timedelta(hours=1)
    prices_old: timedelta = timedelta(days=30)
    lag_message_count: int = 10_000

    def threshold(self, kind: AlertKind) -> Decimal | None:
        """Return its own threshold for alerts of this kind; None where receivers have none."""
        if kind == "workflow_over":
            return self.over_usd
        if kind == "spike":
            return self.spike_min_usd
        if kind == "kafka_lag":
            return Decimal(self.lag_message_count)
        if kind == "silence":
            return Decimal(self.silence // timedelta(minutes=1))
        return Decimal(self.prices_old.days) if kind == "prices_old" else None

    def gets(self, alert: Alert) -> bool:
        """Return whether it wants this alert."""
        own = self.threshold(alert.kind)
        return (
            alert.kind in self.kinds
            and (self.tenant is None or self.tenant == alert.tenant)
            and (own is None or own == alert.threshold)
        )


def is_spike(hour_usd: Decimal, before_usd: Sequence[Decimal], min_usd: Decimal) -> bool:
    """Return whether an hour cost far more than the same hour of the days before; never with fewer than four of them.

    More than their median and six robust deviations, and at least `min_usd` more than their median.
    """
    if len(before_usd) < _HOURS_MIN:
        return False
    middle = median(before_usd)
    deviation = median([abs(CONTEXT.subtract(each, middle)) for each in before_usd])
    spread = max(deviation, CONTEXT.multiply(middle, _SPREAD_MIN))
    usual = CONTEXT.add(middle, CONTEXT.multiply(CONTEXT.multiply(_SIGMAS, _NORMAL), spread))
    return hour_usd > usual and CONTEXT.subtract(hour_usd, middle) >= min_usd


def last_period(every: Every, now: datetime) -> tuple[datetime, datetime]:
    """Return the last period that has been over for ten minutes, UTC: its start, and its end, which is exclusive."""
    moment = now.astimezone(UTC) - _SETTLED_AFTER
    today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "day":
        return today - timedelta(days=1), today
    if every == "week":
        end = today - timedelta(days=today.weekday())
        return end - timedelta(days=7), end
    end = today.replace(day=1)
    return (end - timedelta(days=1)).replace(day=1), end
