"""On whose account a call goes: workflow context -> baggage -> attributes on every span.

In: what `workflow()`, the ASGI middleware, incoming baggage and CALLFARE_TENANT / CALLFARE_CATEGORY say. Out: the
`callfare.*` attributes on every span of this process, whoever makes it. Baggage carries them to other processes.
For each name the nearest wins: the span itself, the context, the parent span in this process, the environment.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.util.types import Attributes

from callfare import attributes as names
from callfare import environment
from callfare.guard import note_internal_error
from callfare.span import call_seen

__all__ = ["ATTRIBUTION", "AttributionProcessor", "attribution_of", "with_attribution"]

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


def with_attribution(values: Mapping[str, str | None], context: Context | None = None) -> Context:
    """A context in which calls go on this account; names without a value stay as they were."""
    result = context if context is not None else context_api.get_current()
    for name, value in values.items():
        if value:
            result = baggage.set_baggage(name, str(value)[:_VALUE_LENGTH_MAX], result)
    return result


def attribution_of(context: Context | None = None) -> dict[str, str]:
    """What this context says, by attribute name."""
    entries = baggage.get_all(context)
    return {name: str(value)[:_VALUE_LENGTH_MAX] for name, value in entries.items() if name in _NAMES}


class AttributionProcessor(SpanProcessor):
    """Writes the attribution onto every span as it starts; later it could no longer be written."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add what the span does not say itself. Raises nothing."""
        try:
            context = context_api.get_current() if parent_context is None else parent_context
            found = _attribution(span, context)
            if not span.get_span_context().trace_flags.sampled:
                found[names.SAMPLED] = False
            if found:
                span.set_attributes(found)
            _tell_framework(span, context)
        except Exception as error:  # noqa: BLE001 - the span goes on without attribution
            note_internal_error("attributing a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing: an ended span cannot be changed."""

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface's signature
        """Nothing is held back."""
        return True


def _attribution(span: Span, context: Context) -> dict[str, str | bool]:
    """What the span does not say itself, from the nearest that does. Runs for every span of the application."""
    found: dict[str, str | bool] = {**attribution_of(context)}
    parent = trace.get_current_span(context)
    if isinstance(parent, ReadableSpan):
        inherited = _plain(parent.attributes)
        for name in ATTRIBUTION:
            if name in inherited and name not in found:
                found[name] = str(inherited[name])
    for name, default in _DEFAULTS:
        if name not in found and (value := default()):
            found[name] = value
    own = _plain(span.attributes)
    return {name: value for name, value in found.items() if name not in own}


def _plain(attributes: Attributes) -> Mapping[str, object]:
    """A copy as a dict: a span's own mapping takes a lock, and an exception for what is not there, a question."""
    return attributes.copy() if isinstance(attributes, MappingProxyType) else attributes or {}


_DEFAULTS: Final = ((names.TENANT_ID, environment.default_tenant), (names.CATEGORY, environment.default_category))
_MODEL_SCOPES: Final = re.compile(
    r"(opentelemetry\.instrumentation|openinference\.instrumentation|openlit\.instrumentation|logfire|"
    r"opentelemetry\.util)\.(genai|openai|anthropic|google|vertexai|bedrock|groq|mistral|cohere|together|ollama|litellm)"
)


def _tell_framework(span: Span, context: Context) -> None:
    """A model call that another instrumentation records: the framework's span above is then not the bill."""
    scope = span.instrumentation_scope
    if scope is not None and _is_model_scope(scope.name):
        call_seen("chat", context)


@lru_cache(maxsize=256)
def _is_model_scope(name: str) -> bool:
    return _MODEL_SCOPES.match(name) is not None
