"""Write the attribution onto every span of this process, whatever code starts it.

In: the context in which a span starts (see `callfare.account`). Out: `callfare.*` attributes on the span. Attributes
that the span already has win.
"""

import re
import weakref
from functools import lru_cache
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from callfare import attributes as names
from callfare.account import ATTRIBUTION, AccountedContext, account_of, attribution_of, plain, with_attribution
from callfare.calls.claims import reservation_awaiting
from callfare.calls.span import Seen, seen_of
from callfare.guard import note_internal_error

__all__ = ["ATTRIBUTION", "AttributionProcessor", "attribution_of", "scopes_covered_by_us", "with_attribution"]


class AttributionProcessor(SpanProcessor):
    """Writes the attribution onto every span as it starts; later it could no longer be written."""

    def __init__(self) -> None:
        self._awaited: weakref.WeakValueDictionary[int, Seen] = weakref.WeakValueDictionary()
        """By span id: the sets to fill when another instrumentation's span ends. One that never ends fills nothing."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the attributes that the span does not have. Raises nothing."""
        try:
            context = context_api.get_current() if parent_context is None else parent_context
            found = {} if isinstance(context, AccountedContext) else _missing_attributes(span, context)
            if not isinstance(context, AccountedContext):
                reservation_id = reservation_awaiting(span)
                if reservation_id:
                    found[names.BUDGET_RESERVATION_ID] = reservation_id
            if not span.get_span_context().trace_flags.sampled and not _says_unsampled(span):
                found[names.SAMPLED] = False
            if found:
                span.set_attributes(found)
            self._tell_framework(span, context)
        except Exception as error:  # noqa: BLE001 - the span goes on without attribution
            note_internal_error("attributing a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """A model call that another instrumentation recorded: the framework's span above is not the bill."""
        if self._awaited and span.context is not None:
            seen = self._awaited.pop(span.context.span_id, None)
            if seen is not None and _reports_something(span):
                seen.add("chat")

    def _tell_framework(self, span: Span, context: Context) -> None:
        scope = span.instrumentation_scope
        if scope is None:
            return
        if scope.name in scopes_covered_by_us:
            span.set_attribute(names.USAGE_BILLABLE, value=False)
        elif _is_model_scope(scope.name):
            seen = seen_of(context)
            if seen is not None:
                self._awaited[span.get_span_context().span_id] = seen

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface's signature
        """Nothing is held back."""
        return True


def _missing_attributes(span: Span, context: Context) -> dict[str, str | bool]:
    """What the span does not say itself. Runs for every span of the application but those of `open_call`."""
    own = plain(span.attributes)
    return {name: text for name, text in account_of(context).items() if name not in own}


def _says_unsampled(span: Span) -> bool:
    """Whether our sampler wrote it already; an application's own sampler may also record what it does not sample."""
    return plain(span.attributes).get(names.SAMPLED) is False


_MODEL_SCOPES: Final = re.compile(
    r"(opentelemetry\.instrumentation|openinference\.instrumentation|openlit\.instrumentation|logfire|"
    r"opentelemetry\.util)\.(genai|openai|anthropic|google|vertexai|bedrock|groq|mistral|cohere|together|ollama|litellm)"
)


scopes_covered_by_us: Final[set[str]] = set()
"""Scopes whose usage an active instrumentor of ours reports, and better: their spans are not the bill."""


def _reports_something(span: ReadableSpan) -> bool:
    """Whether it states any usage, or an error: of an interrupted call it does not, and the framework knows more."""
    return not span.status.is_ok or any("usage" in name or "token_count" in name for name in plain(span.attributes))


@lru_cache(maxsize=256)
def _is_model_scope(name: str) -> bool:
    return _MODEL_SCOPES.match(name) is not None
