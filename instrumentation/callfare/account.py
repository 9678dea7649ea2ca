"""Attribution: context, parent span and environment -> the `callfare.*` attributes of a span.

In: what `workflow()`, the ASGI middleware, incoming baggage and CALLFARE_TENANT / CALLFARE_CATEGORY state. Out: the
attributes, and the context that carries them on, as baggage also to other processes.
For each name the nearest wins: the context, the parent span in this process, the environment. Attributes that the span
already has win over all three; the code that writes the attributes onto it keeps them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import Attributes

from callfare import attributes as names
from callfare import environment
from callfare.guard import note_internal_error

__all__ = [
    "ATTRIBUTION",
    "AccountedContext",
    "account_of",
    "attribution_of",
    "plain",
    "with_attribution",
    "with_request",
]

ATTRIBUTION: Final = (
    names.TENANT_ID,
    names.WORKFLOW_ID,
    names.WORKFLOW_NAME,
    names.CATEGORY,
    names.TASK,
    names.TIER,
    names.USER_ID,
    names.API_KEY_ID,
)
_NAMES: Final = frozenset(ATTRIBUTION)
_VALUE_LENGTH_MAX = 256
"""Attribution comes from headers and callers: longer values are cut, so that no span grows by them."""
_DEFAULTS: Final = ((names.TENANT_ID, environment.default_tenant), (names.CATEGORY, environment.default_category))


def with_attribution(values: Mapping[str, str | None], context: Context | None = None) -> Context:
    """A context in which calls have this attribution; names without a value stay as they were."""
    result = context if context is not None else context_api.get_current()
    for name, value in values.items():
        if value:
            result = baggage.set_baggage(name, str(value)[:_VALUE_LENGTH_MAX], result)
    return result


def attribution_of(context: Context | None = None) -> dict[str, str]:
    """Return the attribution of this context, by attribute name."""
    entries = baggage.get_all(context)
    found = {name: str(value)[:_VALUE_LENGTH_MAX] for name, value in entries.items() if name in _NAMES}
    request = context_api.get_value(_REQUEST, context)
    if isinstance(request, _Request):
        request.complete(found)
    return found


_REQUEST: Final = context_api.create_key("callfare-request")


class _Request:
    """A request whose account becomes known while it is being handled, once somebody has verified its key."""

    __slots__ = ("_at_entry", "_read")

    def __init__(self, read: Callable[[], Mapping[str, str]], at_entry: Mapping[str, str]) -> None:
        self._read = read
        self._at_entry = at_entry

    def complete(self, found: dict[str, str]) -> None:
        """Add the values known by now, unless something inside, such as a workflow, has set others."""
        for name, value in self._read().items():
            if found.get(name) == self._at_entry.get(name):
                found[name] = value[:_VALUE_LENGTH_MAX]


def with_request(read: Callable[[], Mapping[str, str]], context: Context) -> Context:
    """A context in which a request is handled; `read` is asked whenever a span starts, and raises nothing."""
    return context_api.set_value(_REQUEST, _Request(read, attribution_of(context)), context)


def account_of(context: Context) -> dict[str, str]:
    """Return the attribution of a span started in this context; the nearest value wins. Never raises."""
    try:
        return _look_up(context)
    except Exception as error:  # noqa: BLE001 - the span goes on without attribution
        note_internal_error("attributing a span", error)
        return {}


def _look_up(context: Context) -> dict[str, str]:
    found = attribution_of(context)
    parent = trace.get_current_span(context)
    if isinstance(parent, ReadableSpan):
        inherited = plain(parent.attributes)
        for name in ATTRIBUTION:
            if name in inherited and name not in found:
                found[name] = str(inherited[name])
    for name, default in _DEFAULTS:
        if name not in found and (value := default()):
            found[name] = value
    return found


class AccountedContext(Context):
    """A context for starting a span that says its account from the first: the processor need not look it up."""

    def __init__(self, values: Mapping[str, object], account: Mapping[str, str]) -> None:
        """`account` is what `account_of` says of these values. Contexts derived from this one are ordinary again."""
        super().__init__(values)
        self.account = account


def plain(attributes: Attributes) -> Mapping[str, object]:
    """A copy as a dict: a span's own mapping takes a lock, and an exception for what is not there, a question."""
    return attributes.copy() if isinstance(attributes, MappingProxyType) else attributes or {}
