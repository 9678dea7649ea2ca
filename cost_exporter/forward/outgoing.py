"""A span on its way out: its resource, its scope and itself, serialised, without content.

Which spans go out: the provider calls, as only these get a cost. A Collector that splits its traffic marks each
span with `callfare.view`; then the marks decide, so that no span of a trace is lost and none is shown twice.

`outgoing_spans` is called while the decoded request is at hand; the cost is appended when the record is
settled, in the transaction that stores both. Prompts, completions, transcripts, all events and the messages of errors
are left behind here, unless the operator keeps them, because these bytes wait in the database.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from callfare import attributes
from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.span import SpanKey
from cost_exporter.forward.enrich import ENRICHED_KEYS
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_values import UnreadableValue, readable_text, value_of

__all__ = ["outgoing_spans"]

CONTENT_PREFIXES: Final = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.request.messages",
    "gen_ai.response.text",
    "gen_ai.response.tool_calls",
    "gen_ai.task.input",
    "gen_ai.task.output",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.headers",
    "input.value",
    "output.value",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
    "llm.invocation_parameters",
    "embedding.invocation_parameters",
    "llm.completions",
    "llm.choices",
    "llm.openai.messages",
    "llm.openai.choices",
    "embedding.embeddings",
    "retrieval.documents",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "ai.prompt",
    "ai.response.text",
    "ai.response.object",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value",
    "ai.values",
    "request_data",
    "response_data",
    "all_messages_events",
    "final_result",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.observation.status_message",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "langwatch.input",
    "langwatch.output",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.chunk.",
    "genkit:input",
    "genkit:output",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_",
    "gcp.vertex.agent.data",
    "braintrust.input",
    "braintrust.output",
    "pydantic_ai.all_messages",
    "haystack.component.input",
    "haystack.component.output",
    "haystack.pipeline.",
    "message.content",
    "lk.pii.",
    "lk.response.text",
    "lk.input_text",
    "lk.user_transcript",
    "lk.chat_ctx",
    "exception.message",
    "exception.stacktrace",
    "exception.logfire.data",
)
"""Attributes in which emitters put content: what people spoke or wrote."""
CONTENT_KEYS: Final = frozenset(
    {"text", "transcript", "input", "output", "messages", "prompt", "tools", "system", "content", "message"}
    | {"raw_input", "response", "events"}  # Logfire on the OpenAI Agents SDK
)


_RAW_CONTENT: Final = frozenset(
    {"messages", "choices", "content", "output", "outputs", "candidates", "contents", "data", "system", "tools"}
    | {"prompt", "input", "text", "message", "generations", "documents", "results", "instructions"}
)
"""The content of LiteLLM's raw request under the vendor's own names (`llm.anthropic.content`)."""


def outgoing_spans(
    resource_spans: Sequence[wire.ResourceSpans], calls: Collection[SpanKey], *, keeps_content: bool = False
) -> dict[SpanKey, OutgoingSpan]:
    """Return the spans of a request that are to be forwarded; those of `calls` are enriched later.

    Takes the content out of the decoded request itself: it has been read already.
    """
    removal = _Removal(_REPLACED if keeps_content else _REPLACED_AND_CONTENT, keeps_events=keeps_content)
    found: dict[SpanKey, OutgoingSpan] = {}
    spans: dict[SpanKey, wire.Span] = {}
    for each in resource_spans:
        resource = _serialised(_without_summary(each.resource))
        for group in each.scope_spans:
            scope = _serialised(group.scope)
            for span in group.spans:
                key = span.trace_id, span.span_id
                if _is_wanted(span, key, calls):
                    removal.apply(span)
                    found[key], spans[key] = OutgoingSpan(resource, scope, _serialised(span)), span
    if not wire.are_values_sound([each.span for each in found.values()]):  # nobody has looked at most of them yet
        for key, span in spans.items():
            found[key] = found[key]._replace(span=_repaired(span))
    return found


def _without_summary(resource: Any) -> Any:
    for key in [key for key in resource.attributes if key.startswith(_REDACTION)]:
        del resource.attributes[key]
    return resource


def _is_wanted(span: wire.Span, key: SpanKey, calls: Collection[SpanKey]) -> bool:
    if attributes.VIEW not in span.attributes:
        return key in calls
    mark = readable_text(span.attributes[attributes.VIEW])
    return mark == "hop" or (not mark and key in calls)


class _Removal:
    """Takes out of each span of a request what does not go on."""

    def __init__(self, is_removed: Mapping[str, bool], *, keeps_events: bool) -> None:
        self._is_removed = is_removed
        self._keeps_events = keeps_events
        self._names: list[str] = []
        self._removed: list[str] = []

    def apply(self, span: Any) -> None:
        stated = span.attributes
        names = list(stated)
        if names != self._names:  # neighbours are alike
            self._names, self._removed = names, [name for name in names if self._is_removed[name]]
        for name in self._removed:
            del stated[name]
        if not self._keeps_events:
            span.ClearField("events")
            if span.status.code == _ERROR:
                # Its message is that of the exception, which may quote an answer.
                span.status.ClearField("message")
                span.status.DiscardUnknownFields()


class _Judged(dict[str, bool]):
    """Remembers of each key whether it is removed: a service sees few keys, and sees them in every span."""

    def __init__(self, is_removed: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_removed = is_removed

    def __missing__(self, key: str) -> bool:
        if len(self) >= _KEYS_REMEMBERED_MAX:
            self.clear()
        is_removed = self[key] = self._is_removed(key)
        return is_removed


_ERROR: Final = 2
_KEYS_REMEMBERED_MAX: Final = 10_000
_REDACTION: Final = "redaction."
_OURS: Final = frozenset({*ENRICHED_KEYS, attributes.VIEW})


def _is_ours(key: str) -> bool:
    """Return whether an attribute is replaced, or was meant for us: the names that our Collector removed."""
    return key in _OURS or key.startswith(_REDACTION)


def _is_content(key: str) -> bool:
    if key in CONTENT_KEYS or key.startswith(CONTENT_PREFIXES):
        return True
    if key.startswith("mastra."):
        return key.endswith((".input", ".output", ".body"))
    return key.startswith("llm.") and key.rpartition(".")[2] in _RAW_CONTENT


_REPLACED: Final = _Judged(_is_ours)
_REPLACED_AND_CONTENT: Final = _Judged(lambda key: _is_ours(key) or _is_content(key))


def _repaired(span: Any) -> bytes:
    """Return the span as bytes that every backend takes, without the values that cannot be."""
    for key, encoded in list(span.attributes.items()):
        try:
            span.attributes[key] = value_of(encoded).SerializeToString()
        except UnreadableValue:
            del span.attributes[key]
    return _serialised(span)


def _serialised(message: Any) -> bytes:
    # These bytes are stored: a span sent again after a crash is byte for byte the same.
    return message.SerializeToString()
