"""A run of a Pipecat service: one span, and the context in which the service works.

Usage is taken where every service reports it, in `start_*_usage_metrics`: the figures of the metrics frames,
each once, and also where the application left usage metrics switched off. Each run is a span in whose context the
service works, so that a vendor's spans become its children; if one of those describes the same operation, the
framework's span says `billable=false` and the call is counted once.
"""

import time
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import Amount, open_call, watch_calls
from callfare.calls.stream import ended_by_application, finish
from callfare.guard import quietly
from callfare.instrumentation.pipecat._usage import request_of

__all__ = ["Run", "begin", "current_run", "report"]

_RUN = context_api.create_key("callfare-pipecat-run")


class Run:
    """One run of a service: its span, the context the service works in, and what is seen below."""

    def __init__(self, tracer: Tracer, service: Any, operation: str, *, is_call: bool) -> None:
        """`is_call` where the service asks its vendor in every run, so that one without usage is not free."""
        self.operation = operation
        self.call = open_call(tracer, request_of(service, operation))
        self.has_usage = False
        self._is_call = is_call
        self._has_estimate = False
        self.answer_characters = 0
        self._started_at_seconds: float | None = time.monotonic()
        context, self._seen = watch_calls(trace.set_span_in_context(self.call.span))
        self.context = context_api.set_value(_RUN, self, context)

    def add(self, quantities: dict[str, Amount]) -> None:
        """Usage the service reports."""
        self.has_usage = True
        for name, amount in quantities.items():
            self.call.add(name, amount)

    def estimate(self, name: str, amount: int) -> None:
        """What the service will have used if it is interrupted before it reports."""
        self._has_estimate = True
        self.call.estimate(name, amount)

    def came(self, character_count: int = 0) -> None:
        """A piece of the answer, a text or sound; how long the first one took is on the span."""
        self.answer_characters += character_count
        if self._started_at_seconds is not None:
            self.call.set(names.TIME_TO_FIRST_CHUNK, round(time.monotonic() - self._started_at_seconds, 6))
            self._started_at_seconds = None

    @property
    def is_seen_elsewhere(self) -> bool:
        """Whether a vendor's span reports the same."""
        return self.operation in self._seen

    def refuse(self, error: BaseException) -> None:
        """Finish: the vendor reported an error, and documents that errors cost nothing."""
        if self.is_seen_elsewhere:
            self.call.set(names.USAGE_BILLABLE, value=False)
        self.call.fail(error, is_refused=True)

    def end(self, error: BaseException | None = None) -> None:
        """Finish; not billable if a vendor's span reports the same, or if there is nothing to report."""
        is_estimated = error is not None and ended_by_application(error) and self._has_estimate
        if self.is_seen_elsewhere or not (self.has_usage or self._is_call or is_estimated):
            self.call.set(names.USAGE_BILLABLE, value=False)
        if self.operation == "chat":
            self.call.set(names.RESPONSE_CHARACTERS, self.answer_characters)
        finish(self.call, error)


@quietly
def begin(tracer: Tracer, service: Any, operation: str, *, is_call: bool = False) -> Run:
    """Open a run."""
    return Run(tracer, service, operation, is_call=is_call)


def current_run(operation: str) -> Run | None:
    """The run of this kind that is under way here."""
    run = context_api.get_value(_RUN)
    return run if isinstance(run, Run) and run.operation == operation else None


@quietly
def report(tracer: Tracer, service: Any, operation: str, quantities: dict[str, Amount]) -> None:
    """To the run that is under way; a service that reports outside of one gets a span for it."""
    run = current_run(operation)
    if run is not None:
        run.add(quantities)
        return
    call = open_call(tracer, request_of(service, operation))
    for name, amount in quantities.items():
        call.add(name, amount)
    call.end()
