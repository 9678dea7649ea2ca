"""The budgets of a context, asked by every paid call in it: reserve an estimate, then settle by the finished span.

Errors of ours never reach the application. Where one keeps us from knowing what a call costs, the call is `unpriced`:
a hard budget refuses it, and a finished one keeps its estimate reserved.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
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
from callfare.budget.notices import notice_refusal, notice_shared
from callfare.budget.reserving import follow_claim, raise_claim, reserve
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
        hold = CallHold(self.limits, request, context)
        estimate_usd = hold.estimate_usd(request)
        hold.claim = reserve(self.limits, estimate_usd, task=hold.task, call=hold.label, context=context)
        shared = shared_budgets()
        if shared is not None:
            try:
                hold.shared = shared.admit(
                    hold.words(), estimate_usd, call=hold.label, context=context, goes_on=bool(request.meter)
                )
            except BudgetExceeded as error:
                ledger().settle(hold.claim, ZERO)
                notice_refusal(error, context)
                raise
        return hold

    def has_price(self, request: CallRequest, context: Context) -> bool:
        """Whether anybody can say what such a call will cost."""
        return CallHold(self.limits, request, context).estimate_usd(request) is not None

    def follow(self, request: CallRequest, context: Context) -> "CallHold":
        """Reserve an estimate, and report where it does not fit."""
        hold = self.count(request, context)
        hold.extend(request.quantities)
        shared = shared_budgets()
        if shared is not None:
            try:
                hold.shared = shared.admit(
                    hold.words(), hold.estimate_usd(request), call=hold.label, context=context, goes_on=True
                )
            except BudgetExceeded as error:
                notice_shared(self.limits, error, context)
        return hold

    def count(self, request: CallRequest, context: Context) -> "CallHold":
        """Count the call when it ends."""
        hold = CallHold(self.limits, request, context)
        accounts = [account for one in self.limits for account in one.accounts_of(hold.task)]
        hold.claim = Claim(accounts, ZERO)
        return hold


class CallHold:
    """What the budgets of a call hold for it."""

    __slots__ = (
        "_account", "_at_unix_ns", "_context", "_limits", "_request", "_stated_usd", "claim", "shared",
    )  # fmt: skip

    claim: Claim
    shared: SharedHold | None
    """What a service's budgets hold for it."""

    def __init__(self, limits: tuple[Limits, ...], request: CallRequest, context: Context) -> None:
        self._limits = limits
        self._request = request
        self._context = context
        self._account = account_of(context)
        self._at_unix_ns = time.time_ns()
        self._stated_usd = ZERO
        self.shared = None

    @property
    def reservation_id(self) -> str:
        """What the span has to carry."""
        return "" if self.shared is None else self.shared.counted_id

    @property
    def label(self) -> str:
        """What an error calls the call."""
        request = self._request
        return " ".join(part for part in (request.provider, request.model, request.operation) if part)

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

    def estimate_usd(self, request: CallRequest) -> Decimal | None:
        """What a request of the call will probably cost; None where nobody can say."""
        try:
            return estimate_usd(request, self._usage(request, request.quantities), _recent)
        except Exception as error:  # noqa: BLE001 - then nobody can say
            note_internal_error("estimating a call", error)
            return None

    def extend(self, ahead: Mapping[str, Amount], ended: Mapping[str, AttributeValue] | None = None) -> None:
        """Reserve for what comes next, and settle what has ended."""
        try:
            self._extend(ahead, ended)
        except Exception as error:  # noqa: BLE001 - the call goes on
            note_internal_error("reserving for an open call", error)

    def _extend(self, ahead: Mapping[str, Amount], ended: Mapping[str, AttributeValue] | None) -> None:
        held_usd, spent_usd = self.estimate_usd(replace(self._request, quantities=ahead)) or ZERO, ZERO
        if ended is not None:
            spent_usd, is_known = self._settled(ended)
            if not is_billable(ended):
                held_usd = ZERO
            elif not is_known:
                held_usd = CONTEXT.add(held_usd, self._rest_usd(spent_usd))
        follow_claim(
            self._limits, self.claim, held_usd, spent_usd, task=self.task, call=self.label, context=self._context
        )
        if self.shared is not None:
            self.shared.extend(held_usd, spent_usd, self._notice_shared)

    def raise_to(self, quantities: Mapping[str, Amount]) -> None:
        """Hold as much as the request costs by now, or raise `BudgetExceeded` and hold what was held."""
        estimate_usd = self.estimate_usd(replace(self._request, quantities=quantities))
        if self.shared is not None and self.shared.refusal is not None:
            notice_refusal(self.shared.refusal, self._context)
            raise self.shared.refusal
        if estimate_usd is None or estimate_usd <= self.claim.held_usd:
            return
        raise_claim(self._limits, self.claim, estimate_usd, task=self.task, call=self.label, context=self._context)
        if self.shared is not None:
            self.shared.extend(estimate_usd, ZERO, self._notice_shared)

    def _notice_shared(self, error: BudgetExceeded) -> None:
        notice_shared(self._limits, error, self._context)

    def settle(self, stated: Mapping[str, AttributeValue]) -> None:
        """Replace the estimate by what the span costs. An unknown cost keeps it reserved."""
        spent_usd, is_known = self._settled(stated)
        ledger().settle(self.claim, spent_usd, ZERO if is_known else self._rest_usd(spent_usd))
        if self.shared is not None:
            self.shared.settle(spent_usd, is_known=is_known)

    def restate(self, stated: Mapping[str, AttributeValue]) -> None:
        """Settle a call of which more may become known: only the difference to the last statement is counted."""
        cost_usd, is_known = self._settled(stated)
        spent_usd = CONTEXT.subtract(cost_usd, self._stated_usd)
        held_usd = ZERO if is_known else self._rest_usd(spent_usd)
        self._stated_usd = cost_usd
        ledger().extend(self.claim, held_usd, spent_usd=spent_usd)
        if self.shared is not None and is_known:
            self.shared.settle(cost_usd)

    def _settled(self, stated: Mapping[str, AttributeValue]) -> tuple[Decimal, bool]:
        """What was spent, and whether that is all."""
        try:
            return self._outcome(stated)
        except Exception as error:  # noqa: BLE001 - then nobody knows
            note_internal_error("settling a call", error)
            return ZERO, False

    def _rest_usd(self, spent_usd: Decimal) -> Decimal:
        """What stays held of the estimate, because nobody knows the rest of the cost."""
        return max(ZERO, CONTEXT.subtract(self.claim.held_usd, spent_usd))

    def release(self) -> None:
        """Give the money back."""
        ledger().settle(self.claim, ZERO)
        if self.shared is not None:
            self.shared.release()

    def _outcome(self, stated: Mapping[str, AttributeValue]) -> tuple[Decimal, bool]:
        """What was spent, and whether that is all."""
        if not (is_billable(stated) and is_billable(self._request.attributes)):
            return ZERO, True
        usage = self._usage(self._request, stated)
        quote = quote_of(usage)
        if quote.amount_usd is None:
            return ZERO, False
        if quote.status == "partial":
            return quote.amount_usd, False
        if not usage.is_refused:
            _recent.add(usage, quote.amount_usd)
        return quote.amount_usd, True

    def _usage(self, request: CallRequest, stated: Mapping[str, AttributeValue | Amount]) -> UsageRecord:
        return usage_of(
            request,
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
