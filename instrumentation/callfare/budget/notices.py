"""The notices of a budget when a call does not fit: an event on the current span, one line in the log, the callback."""

import logging
import threading
from collections.abc import Sequence

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from callfare.budget.errors import BudgetExceeded
from callfare.budget.limits import Limits
from callfare.guard import quietly
from cost_exporter.domain.money import to_plain

__all__ = ["call_back_in_thread", "notice", "notice_refusal", "notice_running", "notice_shared"]

_log = logging.getLogger("callfare")
_logged: set[tuple[str, str]] = set()
_EVENT = {True: "callfare.budget.refused", False: "callfare.budget.exceeded", "shadow": "callfare.budget.would_refuse"}
_LOGGED = {False: "the budget is soft and the call passes", "shadow": "a hard budget would have refused the call"}


def notice(budget: Limits, error: BudgetExceeded, context: Context | None = None) -> None:
    """Say it. A refusal needs no line in the log, because the application gets the exception."""
    _add_event(_EVENT[budget.hard], error, context)
    if budget.hard is not True and budget.is_first_notice():
        _log.warning("%s; %s (logged once)", error, _LOGGED[budget.hard])
    if budget.on_exceeded is not None and budget.hard != "shadow":
        _call_back(budget, error)


def notice_running(budget: Limits, error: BudgetExceeded, context: Context) -> None:
    """Report a call that goes on without money: nobody can be given an exception.

    The callback runs in a thread of its own, in the call's context: it may hang up, and nothing waits for it.
    """
    _add_event(_EVENT[False], error, context)
    if budget.is_first_notice():
        _log.warning("%s; the call goes on (logged once)", error)
    call_back_in_thread(budget, error, context)


def call_back_in_thread(budget: Limits, error: BudgetExceeded, context: Context) -> None:
    """Let the application's callback know of a call that goes on."""
    if budget.on_exceeded is None or budget.hard == "shadow":
        return

    def run() -> None:
        context_api.attach(context)
        _call_back(budget, error)

    threading.Thread(target=run, name="callfare-on-exceeded", daemon=True).start()


def notice_refusal(error: BudgetExceeded, context: Context | None = None) -> None:
    """Put a refusal by a budget of the service onto the current span."""
    _add_event(_EVENT[True], error, context)


def notice_shared(budgets: Sequence[Limits], error: BudgetExceeded, context: Context) -> None:
    """Report a call that goes on although a budget of the service has no money for it, to the budgets around it."""
    _add_event(_EVENT[False], error, context)
    if (error.budget, error.reason) not in _logged:
        _logged.add((error.budget, error.reason))
        _log.warning("%s; the call goes on (logged once)", error)
    for budget in budgets:
        call_back_in_thread(budget, error, context)


@quietly
def _add_event(event: str, error: BudgetExceeded, context: Context | None) -> None:
    span = trace.get_current_span(context)
    if not span.is_recording():
        return
    described = {
        "callfare.budget.name": error.budget,
        "callfare.budget.reason": error.reason,
        "callfare.budget.limit_usd": to_plain(error.limit_usd),
        "callfare.budget.spent_usd": to_plain(error.spent_usd),
        "callfare.budget.reserved_usd": to_plain(error.reserved_usd),
    }
    if error.estimate_usd is not None:
        described["callfare.budget.estimate_usd"] = to_plain(error.estimate_usd)
    if error.task:
        described["callfare.task"] = error.task
    span.add_event(event, described)


def _call_back(budget: Limits, error: BudgetExceeded) -> None:
    """The application's own code: what it raises is logged in full, and changes nothing for the call."""
    assert budget.on_exceeded is not None
    try:
        budget.on_exceeded(error)
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("on_exceeded of budget %r raised", budget.name)
