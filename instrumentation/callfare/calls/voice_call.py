"""A voice call as one workflow: the root span `voice call` that a framework's session opens by itself.

In: the framework's own id of the call, and the attribution it was given. Out: a context, in which everything the
session starts belongs to the call, and a span that ends with the call's outcome. A `callfare.workflow` around the
session is the workflow instead, and no span is opened.

Calls of one process stay apart: a trace takes one call. The next one under the same span starts a trace of its own,
with a link to where it was started.
"""

import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Status, StatusCode, Tracer

from callfare import attributes as names
from callfare import environment
from callfare.account import AccountedContext, account_of, with_attribution
from callfare.calls.conversation import Conversation
from callfare.calls.span import CallRequest, open_call
from callfare.guard import quietly

__all__ = [
    "NAME",
    "VoiceCall",
    "conversation_in",
    "end_open_voice_calls",
    "forget_open_voice_calls",
    "in_workflow",
    "is_in_workflow",
    "state_conversation",
]

NAME: Final = "voice call"
CANCELLED, COMPLETED, FAILED, INTERRUPTED = "cancelled", "completed", "failed", "interrupted"
_CATEGORY: Final = "voice"
_IN_WORKFLOW = context_api.create_key("callfare-in-workflow")
_TRACES_MAX = 4096
_traces: OrderedDict[int, None] = OrderedDict()
"""Traces that have a call already; the oldest are forgotten."""


_conversations: "weakref.WeakKeyDictionary[Span, Conversation]" = weakref.WeakKeyDictionary()
"""Of workflows that the application opened around its calls, by their spans."""


def in_workflow(context: Context, workflow: "VoiceCall | Span") -> Context:
    """A context in which a workflow is under way: a voice call, or a workflow with this span."""
    return context_api.set_value(_IN_WORKFLOW, workflow, context)


def conversation_in(context: Context | None = None) -> Conversation:
    """The conversation of the workflow that is under way; where none is, one that nobody asks for."""
    workflow = context_api.get_value(_IN_WORKFLOW, context)
    if isinstance(workflow, VoiceCall):
        return workflow.conversation
    return _conversations.setdefault(workflow, Conversation()) if isinstance(workflow, Span) else Conversation()


@quietly
def state_conversation(context: Context | None = None) -> None:
    """Put on the span of an application's own workflow how the conversation went. A voice call does so at its end."""
    workflow = context_api.get_value(_IN_WORKFLOW, context)
    if isinstance(workflow, Span):
        workflow.set_attributes(conversation_in(context).attributes())


def is_in_workflow(context: Context | None = None) -> bool:
    """Whether a workflow is under way, of this process or of the one that called it."""
    if context_api.get_value(_IN_WORKFLOW, context) is not None:
        return True
    return baggage.get_baggage(names.WORKFLOW_NAME, context) is not None


class VoiceCall:
    """One call that is under way."""

    def __init__(self, tracer: Tracer, span: Span, inside: Context, outside: Context) -> None:
        """Use `VoiceCall.open`."""
        self.context = in_workflow(inside, self)
        """The context in which the session works."""
        self.outside = outside
        """The context in which it was started."""
        self.is_over = False
        self.conversation = Conversation()
        self._tracer = tracer
        self._span = span
        self._legs: set[str] = set()
        _open.add(self)

    @staticmethod
    @quietly
    def open(tracer: Tracer, *, call_id: str = "", account: Mapping[str, str] | None = None) -> "VoiceCall | None":
        """Begin a call; None where a workflow is under way already, which is then the call's."""
        within = outside = _outside_of_ended_calls(context_api.get_current())
        if environment.is_disabled() or is_in_workflow(within):
            return None
        outer = trace.get_current_span(within).get_span_context()
        links: list[Link] = []
        if outer.is_valid and outer.trace_id in _traces:
            links.append(Link(outer))
            within = trace.set_span_in_context(trace.INVALID_SPAN, within)
        attribution = {names.WORKFLOW_NAME: NAME, names.WORKFLOW_ID: call_id, **(account or {})}
        context = with_attribution(attribution, within)
        if names.CATEGORY not in account_of(context):
            context = with_attribution({names.CATEGORY: _CATEGORY}, context)
        found = account_of(context)
        span = tracer.start_span(
            NAME,
            context=AccountedContext(context, found),
            attributes={**found, names.OPERATION_NAME: "invoke_workflow"},
            links=links,
        )
        _remember(span.get_span_context().trace_id)
        return VoiceCall(tracer, span, trace.set_span_in_context(span, context), outside)

    @quietly
    def carried_by(self, leg_id: str) -> None:
        """State the id of the telephone leg that brings the call, by which what it costs joins the call later."""
        if leg_id not in self._legs:
            self._legs.add(leg_id)
            tell_leg(self._tracer, leg_id, self.context)

    @quietly
    def end(self, outcome: str) -> None:
        """Finish, once."""
        if self.is_over:
            return
        self.is_over = True
        _open.discard(self)
        self._span.set_attributes({names.OUTCOME: outcome, **self.conversation.attributes()})
        if outcome == FAILED:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def forget(self) -> None:
        """Never finish: the call is another process's."""
        self.is_over = True


_open: "weakref.WeakSet[VoiceCall]" = weakref.WeakSet()


def end_open_voice_calls() -> None:
    """The process is about to exit, and the calls with it."""
    for call in list(_open):
        call.end(INTERRUPTED)


def forget_open_voice_calls() -> None:
    """In a forked child: the calls are the parent's."""
    for call in list(_open):
        call.forget()
    _open.clear()


def tell_leg(tracer: Tracer, leg_id: str, context: Context) -> None:
    """Say in the call's trace that this Twilio leg is its. The leg amends it, whenever it comes."""
    request = CallRequest(operation="phone_call", provider="twilio", attributes={names.CALL_ID: leg_id})
    open_call(tracer, request, context=context).end()


def _outside_of_ended_calls(context: Context) -> Context:
    """The context without calls that are over: LiveKit leaves that of a session to the task that started it."""
    while isinstance(call := context_api.get_value(_IN_WORKFLOW, context), VoiceCall) and call.is_over:
        context = call.outside
    return context


def _remember(trace_id: int) -> None:
    _traces[trace_id] = None
    while len(_traces) > _TRACES_MAX:
        _traces.popitem(last=False)
