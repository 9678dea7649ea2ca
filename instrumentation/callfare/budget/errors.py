"""`BudgetExceeded`: the one exception that callfare raises on purpose, before a call goes out."""

from decimal import Decimal
from typing import Literal

from cost_exporter.domain.money import ZERO, to_plain

__all__ = ["BudgetExceeded", "BudgetUnavailable", "Reason"]

Reason = Literal["exceeded", "unpriced", "unreachable"]
"""`exceeded`: the estimate does not fit. `unpriced`: nobody knows what the call costs. `unreachable`: the service that
keeps the budget does not answer; budgets of one process never give this reason."""


class BudgetExceeded(Exception):
    """A hard budget refused a call. The vendor was not called."""

    def __init__(
        self,
        *,
        budget: str,
        limit_usd: Decimal,
        spent_usd: Decimal,
        reserved_usd: Decimal,
        estimate_usd: Decimal | None,
        task: str = "",
        reason: Reason = "exceeded",
        call: str = "",
        window: str = "",
        resets_at: str | None = None,
    ) -> None:
        """`task` is set where the limit of a task refused; `estimate_usd` is None for `unpriced`.

        `window` and `resets_at` are those of a budget of the service; one of this process has none.
        """
        self.reason: Reason = reason
        self.budget = budget
        self.task = task
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = reserved_usd
        self.estimate_usd = estimate_usd
        self.call = call
        self.window = window
        self.resets_at = resets_at
        super().__init__(self._message())

    def _message(self) -> str:
        what = f"budget {self.budget!r}" + (f", task {self.task!r}" if self.task else "")
        spent, reserved, limit = map(to_plain, (self.spent_usd, self.reserved_usd, self.limit_usd))
        state = f"spent {spent}, reserved {reserved} of {limit} USD" + (
            f" this {self.window}" if self.resets_at else ""
        )
        if self.reason == "unreachable":
            return (
                f"{what}: the service that keeps it does not answer, and what was leased is used up; see that"
                " CALLFARE_BUDGET_URL can be reached, or set CALLFARE_BUDGET_FAIL_OPEN=1"
            )
        if self.reason == "unpriced":
            call = f" of {self.call}" if self.call else ""
            return (
                f"{what} ({state}): the cost{call} is not known; add its price to a file named in CALLFARE_PRICES, "
                "or use hard=False"
            )
        estimate = to_plain(self.estimate_usd or ZERO)
        return f"{what} ({state}): an estimated {estimate} USD more does not fit; raise the limit"

    def __reduce__(self) -> tuple[object, tuple[dict[str, object]]]:
        """Pickle by name: process pools send exceptions that way, and these take no positional arguments."""
        return _restored, (dict(self.__dict__),)


def _restored(fields: dict[str, object]) -> BudgetExceeded:
    return BudgetExceeded(**fields)  # type: ignore[arg-type]  # what `__reduce__` put in


class BudgetUnavailable(BudgetExceeded):
    """The service that keeps a hard budget does not answer, and what was leased from it is used up."""
