"""`workflow(...)`: one piece of work as one trace, attributed to a tenant, a category and so on.

    with workflow("support-call", tenant="acme", category="bot", revenue="4.99") as run:
        ...                                  # every call in here, in any thread or task, is attributed like this
    async with workflow("support-call"): ...
    @workflow("insights", category="insights")
    async def summarise(call): ...           # functions, coroutines and generators of either kind

A workflow is a span of its own, so that its calls share a trace; it is never billed itself. Workflows nest: the
inner one's names win for what happens in it. Nothing in here raises into the application.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from callfare import attributes as names
from callfare import environment
from callfare.account import AccountedContext, account_of, with_attribution
from callfare.calls.failure import describe_error
from callfare.calls.voice_call import in_workflow
from callfare.decorating import decorated
from callfare.guard import quietly
from callfare.provider import hook

__all__ = ["Workflow"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SCOPE: Final = "callfare.workflow"


class Workflow:
    """See the module. One object is one run; as a decorator, every call of the function is a run."""

    def __init__(
        self,
        name: str | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the public name
        tenant: str | None = None,
        category: str | None = None,
        task: str | None = None,
        tier: str | None = None,
        user: str | None = None,
        api_key: str | None = None,
        revenue: Decimal | str | int | None = None,
    ) -> None:
        """All names are optional; `revenue` is what the customer pays for this run, in USD."""
        self._account: dict[str, str | None] = {
            names.WORKFLOW_NAME: name,
            names.WORKFLOW_ID: id,
            names.TENANT_ID: tenant,
            names.CATEGORY: category,
            names.TASK: task,
            names.TIER: tier,
            names.USER_ID: user,
            names.API_KEY_ID: api_key,
        }
        self._name = name
        self._revenue = revenue
        self._span: Span = trace.INVALID_SPAN
        self._runs: list[tuple[Span, Any]] = []

    @property
    def trace_id(self) -> str:
        """32 hex digits: what `callfare trace` and the API take. All zeros where tracing is off."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @quietly
    def set_outcome(self, outcome: str) -> None:
        """How the work went: `completed`, `failed`, or a word of your own that revenue rules know."""
        self._span.set_attribute(names.OUTCOME, outcome)

    @quietly
    def set_revenue(self, amount: Decimal | str | int, currency: str = "USD") -> None:
        """Set the revenue of this run, as soon as it is known. Decimal strings keep every digit."""
        self._span.set_attribute(names.REVENUE_AMOUNT, str(amount))
        self._span.set_attribute(names.REVENUE_CURRENCY, currency)

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        self._finish(error)

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        self._finish(error)

    @quietly
    def _begin(self) -> None:
        context, span = self.begin_run()
        self._runs.append((span, context_api.attach(context)))

    @quietly
    def _finish(self, error: BaseException | None) -> None:
        span, token = self._runs.pop()
        context_api.detach(token)
        _end(span, error)

    def begin_run(self) -> tuple[Context, Span]:
        """Start the span; the caller attaches the context and ends the span. With CALLFARE_DISABLED there is none."""
        return self._started() or (context_api.get_current(), trace.INVALID_SPAN)

    @quietly
    def _started(self) -> tuple[Context, Span] | None:
        if environment.is_disabled():
            return None
        hook.install()  # a provider that the application set up by itself may know nothing of us yet
        context = with_attribution(self._account)
        account = account_of(context)
        title = f"workflow {self._name}" if self._name else "workflow"
        attributes = {**account, names.OPERATION_NAME: "invoke_workflow"}
        self._span = span = trace.get_tracer(_SCOPE).start_span(
            title, context=AccountedContext(context, account), attributes=attributes
        )
        if self._revenue is not None:
            self.set_revenue(self._revenue)
        return in_workflow(trace.set_span_in_context(span, context), span), span

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Use as a decorator."""
        return decorated(function, lambda: _run(self.copy()))

    def copy(self) -> "Workflow":
        """A fresh run with the same attribution."""
        fresh = Workflow(self._name, revenue=self._revenue)
        fresh._account = self._account
        return fresh


def _run(workflow: Workflow) -> tuple[Context, Callable[[BaseException | None], None]]:
    context, span = workflow.begin_run()
    return context, partial(_end, span)


def _end(span: Span, error: BaseException | None) -> None:
    # A generator that is closed and a task that is cancelled have not failed.
    if isinstance(error, Exception):
        span.set_attributes(describe_error(error))
        span.set_status(Status(StatusCode.ERROR))
    span.end()
