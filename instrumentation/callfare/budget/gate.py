"""The budgets of a context, asked by every paid call in it: reserve an estimate, then settle by the finished span.

Errors of ours never reach the application. Where one keeps us from knowing what a call costs, the call is `unpriced`:
a hard budget refuses it, and a finished one keeps its estimate reserved.
"""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from opentelemetry.context import Context

from callfare import attributes as names
from callfare.account import account_of
from callfare.budget.call_usage import is_billable, usage_of
from callfare.budget.errors import BudgetExceeded
from callfare.budget.estimate import RecentCosts, estimate_usd, quote_of
from callfare.budget.ledger import Claim, ledger
from callfare.budget.limits import Limits
from callfare.budget.notices import notice_refusal
from callfare.budget.reserving import reserve
from callfare.budget.shared import SharedHold, Words, shared_budgets
from callfare.calls.admission import gate_in
from callfare.calls.span import Amount, AttributeValue, CallRequest
from callfare.guard import note_internal_error
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.domain.usage import UsageRecord

__all__ = ["BudgetGate", "limits_in", "with_limits"]

_recent: Final = RecentCosts()


class BudgetGate:
    """See the module. All budgets apply: a call goes out if it fits into each of them."""

    __slots__ = ("limits",)

    def __init__(self, limits: tuple[Limits, ...]) -> None:
        """The innermost last."""
        self.limits = limits

    def admit(self, request: CallRequest, context: Context) -> "CallHold":
        """Reserve an estimate, or raise `BudgetExceeded`."""
        hold = CallHold(request, account_of(context))
        label = " ".join(part for part in (request.provider, request.model, request.operation) if part)
        estimate_usd = hold.estimate_usd()
        hold.claim = reserve(self.limits, estimate_usd, task=hold.task, call=label, context=context)
        shared = shared_budgets()
        if shared is not None:
            try:
                hold.shared = shared.admit(hold.words(), estimate_usd, call=label, context=context)
            except BudgetExceeded as error:
                ledger().settle(hold.claim, ZERO)
                notice_refusal(error, context)
                raise
        return hold

    def count(self, request: CallRequest, context: Context) -> "CallHold":
        """Count the call when it ends."""
        hold = CallHold(request, account_of(context))
        accounts = [account for one in self.limits for account in one.accounts_of(hold.task)]
        hold.claim = Claim(accounts, ZERO)
        return hold


class CallHold:
    """What the budgets of a call hold for it."""

    __slots__ = ("_account", "_at_unix_ns", "_request", "claim", "shared")

    claim: Claim
    shared: SharedHold | None
    """What a service's budgets hold for it."""

    def __init__(self, request: CallRequest, account: Mapping[str, str]) -> None:
        self._request = request
        self._account = account
        self._at_unix_ns = time.time_ns()
        self.shared = None

    @property
    def reservation_id(self) -> str:
        """What the span has to carry."""
        return "" if self.shared is None else self.shared.reservation_id

    def words(self) -> Words:
        """What the budgets of a service go by."""
        account = self._account
        return (
            account.get(names.TENANT_ID, ""),
            account.get(names.API_KEY_ID, ""),
            account.get(names.USER_ID, ""),
            account.get(names.CATEGORY, ""),
            canonical_provider(self._request.provider),
            self._request.model,
        )

    @property
    def task(self) -> str:
        """The task of the workflow that the call belongs to."""
        return str(self._request.attributes.get(names.TASK) or self._account.get(names.TASK, ""))

    def estimate_usd(self) -> Decimal | None:
        """What the call will probably cost; None where nobody can say."""
        try:
            return estimate_usd(self._request, self._usage(self._request.quantities), _recent)
        except Exception as error:  # noqa: BLE001 - then nobody can say
            note_internal_error("estimating a call", error)
            return None

    def settle(self, stated: Mapping[str, AttributeValue]) -> None:
        """Replace the estimate by what the span costs. An unknown cost keeps it reserved."""
        try:
            spent_usd, is_known = self._outcome(stated)
        except Exception as error:  # noqa: BLE001 - then nobody knows
            note_internal_error("settling a call", error)
            spent_usd, is_known = ZERO, False
        still_held_usd = ZERO if is_known else max(ZERO, CONTEXT.subtract(self.claim.held_usd, spent_usd))
        ledger().settle(self.claim, spent_usd, still_held_usd)
        if self.shared is not None:
            self.shared.settle(spent_usd, is_known=is_known)

    def release(self) -> None:
        """Give the money back."""
        ledger().settle(self.claim, ZERO)
        if self.shared is not None:
            self.shared.release()

    def _outcome(self, stated: Mapping[str, AttributeValue]) -> tuple[Decimal, bool]:
        """What was spent, and whether that is all."""
        if not is_billable(stated):
            return ZERO, True
        usage = self._usage(stated)
        quote = quote_of(usage)
        if quote.amount_usd is None:
            return ZERO, False
        if quote.status == "partial":
            return quote.amount_usd, False
        if not usage.is_refused:
            _recent.add(usage, quote.amount_usd)
        return quote.amount_usd, True

    def _usage(self, stated: Mapping[str, AttributeValue | Amount]) -> UsageRecord:
        return usage_of(
            self._request,
            stated,
            at_unix_ns=self._at_unix_ns,
            tenant=self._account.get(names.TENANT_ID, ""),
            api_key=self._account.get(names.API_KEY_ID, ""),
        )


def limits_in(context: Context) -> tuple[Limits, ...]:
    """The limits that apply in a context, the innermost last."""
    gate = gate_in(context)
    return gate.limits if isinstance(gate, BudgetGate) else ()


def with_limits(context: Context, limits: Limits) -> tuple[Limits, ...]:
    """The limits of a context and these, each once: a budget inside itself is no second budget."""
    outer = limits_in(context)
    return outer if limits in outer else (*outer, limits)
