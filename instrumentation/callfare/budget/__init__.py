"""Budgets in the application: a call that does not fit is refused before it goes out.

An estimate is reserved before a call and replaced by its cost when its span ends; both are priced by the same engine
as the bill. Public names: `callfare.budget`, `callfare.BudgetExceeded`, `callfare.current_cost`.
"""

import sys
from types import ModuleType
from typing import Any

__all__: list[str] = []


class _Callable(ModuleType):
    """This module, which Python puts where `callfare.budget` is looked up as soon as anybody imports it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from callfare.budget.budget import Budget  # noqa: PLC0415 - it imports this module

        return Budget(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
