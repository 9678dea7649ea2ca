"""Which accounts may have reached a threshold since they were last looked at: the others need not be added up.

An account cannot spend more than its tenant does. So one query of what tenants spent in all decides for most accounts
that nothing can have happened: their tenant spent less since then than they have left to their next threshold. What is
decided so is only a matter of time: everything is looked at each minute, when a budget is changed, and in the first
minutes of an hour, in which windows end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cost_exporter.domain.money import CONTEXT

__all__ = ["Headroom", "SeenAccount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAccount:
    """An account as it was looked at."""

    account_id: int
    tenant: str
    resets_at: datetime | None
    left_usd: Decimal | None
    """Until its next threshold; None where all of them have been reached."""


class Headroom:
    """What one judge remembers from look to look. Empty, it leaves nothing out."""

    def __init__(self) -> None:
        self._accounts: dict[int, tuple[SeenAccount, Decimal]] = {}
        """With what the tenant had spent by then."""
        self._version: object = None

    def forget(self, version: object = None) -> None:
        """Look at everything again."""
        self._accounts.clear()
        self._version = version

    def begin(self, version: object) -> None:
        """`version` changes when any budget does."""
        if version != self._version:
            self.forget(version)

    def due(self, accounts: Sequence[tuple[int, str]], spent_usd: Mapping[str, Decimal], now: datetime) -> list[int]:
        """Return the accounts that may have reached a threshold; `spent_usd` is what each tenant spent in all."""
        return [account_id for account_id, tenant in accounts if self._is_due(account_id, spent_usd.get(tenant), now)]

    def learn(self, seen: Sequence[SeenAccount], spent_usd: Mapping[str, Decimal]) -> None:
        """Remember what accounts were looked at."""
        for account in seen:
            if account.tenant in spent_usd:
                self._accounts[account.account_id] = account, spent_usd[account.tenant]

    def _is_due(self, account_id: int, spent_usd: Decimal | None, now: datetime) -> bool:
        known = self._accounts.get(account_id)
        if known is None or spent_usd is None:
            return True
        account, spent_before_usd = known
        if account.resets_at is not None and account.resets_at <= now:
            return True
        if account.left_usd is None:
            return False
        return CONTEXT.subtract(spent_usd, spent_before_usd) >= account.left_usd
