"""The limits of one budget: its accounts, and what it does with a call that does not fit."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Literal

from callfare.budget.errors import BudgetExceeded
from callfare.budget.ledger import Account

__all__ = ["Hard", "Limits", "OnExceeded"]

Hard = bool | Literal["shadow"]
"""True refuses, False reports it and lets the call pass, "shadow" says what would have been refused."""
OnExceeded = Callable[[BudgetExceeded], object]


class Limits:
    """The limits of a budget: for all its calls together, and for those of one task."""

    __slots__ = ("_tasks", "_was_noted", "hard", "name", "on_exceeded", "total")

    def __init__(
        self,
        name: str,
        total_usd: Decimal,
        per_task_usd: Mapping[str, Decimal],
        *,
        hard: Hard,
        on_exceeded: OnExceeded | None,
    ) -> None:
        """Nothing is spent yet."""
        self.name = name
        self.total = Account(total_usd)
        self.hard: Hard = hard
        self.on_exceeded = on_exceeded
        self._tasks = {task: Account(limit_usd) for task, limit_usd in per_task_usd.items()}
        self._was_noted = False

    @property
    def is_hard(self) -> bool:
        """Whether it refuses calls."""
        return self.hard is True

    def accounts_of(self, task: str) -> dict[Account, str]:
        """The accounts that a call of this task draws on, and the task whose limit each is, "" for all."""
        accounts = {self.total: ""}
        if task in self._tasks:
            accounts[self._tasks[task]] = task
        return accounts

    def is_first_notice(self) -> bool:
        """True once: a budget that is exceeded by a thousand calls is worth one line in the log."""
        was_noted, self._was_noted = self._was_noted, True
        return not was_noted
