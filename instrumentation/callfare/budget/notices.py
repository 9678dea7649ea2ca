"""The notices of a budget when a call does not fit: an event on the current span, one line in the log, the callback."""

import logging

from opentelemetry import trace
from opentelemetry.context import Context

from callfare.budget.errors import BudgetExceeded
from callfare.budget.limits import Limits
from callfare.guard import quietly
from cost_exporter.domain.money import to_plain

__all__ = ["notice", "notice_refusal"]

_log = logging.getLogger("callfare")
_EVENT = {True: "callfare.budget.refused", False: "callfare.budget.exceeded", "shadow": "callfare.budget.would_refuse"}
_LOGGED = {False: "the budget is soft and the call passes", "shadow": "a hard budget would have refused the call"}


def notice(budget: Limits, error: BudgetExceeded, context: Context | None = None) -> None:
    """Say it. A refusal needs no line in the log, because the application gets the exception."""
    _add_event(_EVENT[budget.hard], error, context)
    if budget.hard is not True and budget.is_first_notice():
        _log.warning("%s; %s (logged once)", error, _LOGGED[budget.hard])
    if budget.on_exceeded is not None and budget.hard != "shadow":
        _call_back(budget, error)


def notice_refusal(error: BudgetExceeded, context: Context | None = None) -> None:
    """Put a refusal by a budget of the service onto the current span."""
    _add_event(_EVENT[True], error, context)


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
