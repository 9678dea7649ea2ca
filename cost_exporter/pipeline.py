"""From the spans of a request to its acknowledgement: read them, and submit the facts to the ledger.

The steps, and where each one is. Settling, pricing and storing happen in `store/ledger/ledger.py`, in one transaction:

    read      spans become facts: calls with usage, links of the trace, dead letters        read/
    settle    all facts of a trace together: one bill per call, and which tenant it is for  domain/settling/settle.py
    price     each billed call by the book in force at its start                            domain/pricing/book.py
    store     records and rollups, in one transaction; many requests share a commit         store/
    forward   the spans go on with their cost, from an outbox of the same transaction       forward/

A request is acknowledged after COMMIT and not before. An error concerns one span, which becomes a dead letter while the
other spans are stored, or it is temporary, and the sender retries; only a request that can never be read is refused for
good, and that before it comes here (`receive/`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.forward.outgoing import outgoing_spans
from cost_exporter.read.estimate import with_estimates
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.read.request import read_request

__all__ = ["Ledger", "Observe", "Pipeline"]


class Ledger(Protocol):
    """Where facts are settled and stored: `store.ledger.committer.Committer`."""

    def submit(self, facts: Facts) -> Receipt:
        """Store the facts durably and return after COMMIT."""
        ...

    def begin(self, facts: Facts, done: Callable[[Receipt | Exception], object]) -> bool:
        """Begin to store the facts; `done` gets what `submit` returns or raises.

        Returns False, and never calls `done`, where the queue is full.
        """
        ...


class Observe(Protocol):
    """Counts requests and costs: the metrics."""

    def __call__(self, facts: Facts, receipt: Receipt) -> None:
        """Count what one request brought. Must not raise."""
        ...


class Pipeline:
    """Takes decoded requests from the receivers, one per call, from many threads."""

    def __init__(
        self,
        ledger: Ledger,
        observe: Observe,
        *,
        is_forwarding: bool = False,
        keeps_content: bool = False,
        estimates_usage: bool | None = None,
        trusted_cost_sources: frozenset[str] = frozenset(),
    ) -> None:
        self._ledger = ledger
        self._observe = observe
        self._is_forwarding = is_forwarding
        self._keeps_content = keeps_content
        self._estimates_usage = estimates_usage
        self._trusted_cost_sources = trusted_cost_sources

    def __call__(self, request: DecodedRequest) -> Receipt:
        """Store one request and return after COMMIT."""
        facts = self._read(request)
        receipt = self._ledger.submit(facts)
        self._observe(facts, receipt)
        return receipt

    def begin(self, request: DecodedRequest, done: Callable[[Receipt | Exception], object]) -> bool:
        """Begin to store one request; `done` gets what a call returns or raises.

        Returns False, and never calls `done`, where the queue is full.
        """
        facts = self._read(request)

        def observed(outcome: Receipt | Exception) -> None:
            if isinstance(outcome, Receipt):
                self._observe(facts, outcome)
            done(outcome)

        return self._ledger.begin(facts, observed)

    def _read(self, request: DecodedRequest) -> Facts:
        facts = read_request(
            request.resource_spans,
            namespace=request.namespace,
            received_at_unix_ns=request.received_at_unix_ns,
            tenant_is_trusted=request.tenant_is_trusted,
            trusted_cost_sources=self._trusted_cost_sources,
            dead_letters=request.dead_letters,
            streamed_spans=request.streamed_spans,
        )
        if self._estimates_usage is not False:
            reads_text = self._estimates_usage is True
            facts = replace(facts, calls=with_estimates(facts.calls, request.resource_spans, reads_text=reads_text))
        if self._is_forwarding:
            calls = {(call.trace_id, call.span_id) for call in facts.calls}
            outgoing = outgoing_spans(request.resource_spans, calls, keeps_content=self._keeps_content)
            facts = replace(facts, outgoing=outgoing)
        return facts
