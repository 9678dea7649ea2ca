"""callfare inside the application: state which tenant a call is attributed to, and what it may cost.

    import callfare

    with callfare.workflow("support-call", tenant="acme", category="bot"):
        ...
    callfare.record_usage("retrieval", "pinecone", "serverless", read_units=6)
    with callfare.budget("1.50", {"analysis": "0.75"}):
        ...

Importing costs next to nothing: OpenTelemetry is loaded with the first name used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callfare.budget.budget import Budget as budget  # noqa: N813 - used like a function
    from callfare.budget.budget import current_cost
    from callfare.budget.errors import BudgetExceeded
    from callfare.usage import record_usage
    from callfare.workflow import Workflow as workflow  # noqa: N813 - used like a function

__all__ = ["BudgetExceeded", "budget", "current_cost", "record_usage", "workflow"]

_HOMES = {
    "BudgetExceeded": ("callfare.budget.errors", "BudgetExceeded"),
    "budget": ("callfare.budget.budget", "Budget"),
    "current_cost": ("callfare.budget.budget", "current_cost"),
    "record_usage": ("callfare.usage", "record_usage"),
    "workflow": ("callfare.workflow", "Workflow"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'callfare' has no attribute {name!r}")
    value = _bind(name)
    package = _HOMES[name][0].split(".")[1]
    if package in _HOMES:
        _bind(package)  # the import has put the package of that name in the function's place
    return value


def _bind(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - only where it is needed

    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
