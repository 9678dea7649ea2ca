"""On whose account a call goes: workflow context -> baggage -> attributes on every span.

In: what `workflow()`, the ASGI middleware, incoming baggage and CALLFARE_TENANT / CALLFARE_CATEGORY say. Out: the
`callfare.*` attributes on every span of this process, whoever makes it. Baggage carries them to other processes.
For each name the nearest wins: the span itself, the context, the parent span in this process, the environment.
"""

import re
from collections.abc import Mapping
from typing import Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

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
    if not entries:
        return {}
    return {name: str(entries[name])[:_VALUE_LENGTH_MAX] for name in ATTRIBUTION if name in entries}


class AttributionProcessor(SpanProcessor):
    """Writes the attribution onto every span as it starts; later it could no longer be written."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add what the span does not say itself. Raises nothing."""
        try:
            found = self._attribution(span, parent_context)
            if not span.get_span_context().trace_flags.sampled:
                found[names.SAMPLED] = False
            if found:
                span.set_attributes(found)
            _tell_framework(span, parent_context)
        except Exception as error:  # noqa: BLE001 - the span goes on without attribution
            note_internal_error("attributing a span", error)

    def _attribution(self, span: Span, parent_context: Context | None) -> dict[str, str | bool]:
        found: dict[str, str | bool] = dict(_defaults())
        parent = trace.get_current_span(parent_context)
        inherited = parent.attributes if isinstance(parent, ReadableSpan) else None
        if inherited:
            found.update((name, str(inherited[name])) for name in ATTRIBUTION if name in inherited)
        found.update(attribution_of(parent_context))
        own = span.attributes
        if own:
            found = {name: value for name, value in found.items() if name not in own}
        return found

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing: an ended span cannot be changed."""

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface's signature
        """Nothing is held back."""
        return True


_MODEL_SCOPES: Final = re.compile(
    r"(opentelemetry\.instrumentation|openinference\.instrumentation|openlit\.instrumentation|logfire|"
    r"opentelemetry\.util)\.(genai|openai|anthropic|google|vertexai|bedrock|groq|mistral|cohere|together|ollama|litellm)"
)


def _tell_framework(span: Span, parent_context: Context | None) -> None:
    """A model call that another instrumentation records: the framework's span above is then not the bill."""
    scope = span.instrumentation_scope
    if scope is not None and _MODEL_SCOPES.match(scope.name):
        call_seen("chat", parent_context)


def _defaults() -> dict[str, str]:
    defaults = {names.TENANT_ID: environment.default_tenant(), names.CATEGORY: environment.default_category()}
    return {name: value for name, value in defaults.items() if value}
