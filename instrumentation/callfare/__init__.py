"""callfare inside the application: say on whose account a call goes, and what it may cost.

    import callfare

    with callfare.workflow("support-call", tenant="acme", category="bot"):
        ...
    callfare.record_usage("retrieval", "pinecone", "serverless", read_units=6)

Importing costs next to nothing: OpenTelemetry is loaded with the first name used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callfare.usage import record_usage
    from callfare.workflow import Workflow as workflow  # noqa: N813 - used like a function

__all__ = ["record_usage", "workflow"]

_HOMES = {
    "record_usage": ("callfare.usage", "record_usage"),
    "workflow": ("callfare.workflow", "Workflow"),
}


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'callfare' has no attribute {name!r}") from None
    from importlib import import_module  # noqa: PLC0415 - only where it is needed

    value = getattr(import_module(module), attribute)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
