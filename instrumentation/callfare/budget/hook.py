"""What `opentelemetry-instrument` calls: with CALLFARE_BUDGET_URL every paid call of the process is checked."""

import logging

from callfare import environment
from callfare.budget.gate import BudgetGate
from callfare.budget.prices import load_prices
from callfare.budget.shared import shared_budgets
from callfare.calls.admission import set_gate_of_process
from callfare.guard import quietly

__all__ = ["pre_instrument"]

_log = logging.getLogger("callfare")


@quietly
def pre_instrument() -> None:
    """Let the service's budgets decide wherever no `callfare.budget` does, which asks them too."""
    if environment.is_disabled() or not environment.budget_url():
        return
    shared = shared_budgets()
    if shared is not None:
        shared.greet(environment.default_tenant())  # while the prices load
    try:
        load_prices()
    except ModuleNotFoundError as error:
        _log.error("CALLFARE_BUDGET_URL has no effect: %s", error)
        return
    set_gate_of_process(BudgetGate(()))
