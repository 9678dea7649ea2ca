"""Convert a receiver of alerts from the configuration file to the internal form."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from cost_exporter.domain.alerting import Receiver
from cost_exporter.settings import AlertRule

__all__ = ["receiver_of"]

_SPIKE_MIN_USD: Final = Decimal(1)
_SILENCE_MINUTES: Final = 60
_PRICES_OLD_DAYS: Final = 30
_LAG_MESSAGES: Final = 10_000


def receiver_of(rule: AlertRule) -> Receiver:
    """Return who gets which alerts, with the defaults of what the rule leaves out."""
    return Receiver(
        name=rule.name,
        kinds=frozenset(rule.on),
        tenant=rule.tenant,
        over_usd=rule.over_usd,
        spike_min_usd=_SPIKE_MIN_USD if rule.spike_min_usd is None else rule.spike_min_usd,
        silence=timedelta(minutes=rule.silence_minutes or _SILENCE_MINUTES),
        prices_old=timedelta(days=rule.prices_old_days or _PRICES_OLD_DAYS),
        lag_message_count=rule.lag_messages or _LAG_MESSAGES,
    )
