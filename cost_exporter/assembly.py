"""The one place where ingest is put together: everything between a decoded request and COMMIT.

    pipeline ──▶ committer ──▶ one ledger per writer ──▶ PostgreSQL
    (read)       (batches)     (settle, price, write)

The service, its worker processes, the exporter inside an application, and the replay of dead letters all build it
here, with the same options: a call costs the same whichever way it came.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.forward.cost_log import log_calls, start_cost_log
from cost_exporter.forward.enrich import cost_attributes
from cost_exporter.pipeline import Observe, Pipeline
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.store.ledger.committer import WRITERS, Committer
from cost_exporter.store.ledger.ledger import LedgerStore

if TYPE_CHECKING:  # a worker process takes its options from a pipe and needs no settings
    from cost_exporter.settings import Config, Settings

__all__ = ["IngestOptions", "LedgerPipeline", "ingest_options", "price_by"]

_DRAIN_SECONDS_MAX: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """The settings that ingest depends on: few, so that they can be sent to another process."""

    database_url: str = field(repr=False)
    """Secret: it may hold a password."""
    prices: tuple[Path, ...] = ()
    is_forwarding: bool = False
    forwards_content: bool = False
    estimates_usage: bool | None = None
    """From the text as well; None: from lengths alone; False: not at all."""
    trusted_cost_sources: tuple[str, ...] = ()
    logs_costs: bool = False


def ingest_options(settings: "Settings", config: "Config", database_url: str) -> IngestOptions:
    """Return what ingest needs. The database is named by the caller: an embedded one is in no setting."""
    return IngestOptions(
        database_url=database_url,
        prices=settings.prices,
        is_forwarding=settings.forward_endpoint is not None,
        forwards_content=settings.forward_content,
        estimates_usage=settings.estimate_usage,
        trusted_cost_sources=config.trusted_cost_sources,
        logs_costs=settings.log_costs,
    )


def price_by(book_in_force: Callable[[], PriceBook]) -> Price:
    """Return how calls are priced everywhere: by the book that is in force when they are."""

    def price(usage: UsageRecord) -> Quote:
        return book_in_force().price_of_call(usage)

    return price


class LedgerPipeline:
    """Takes decoded requests and returns after COMMIT. Thread-safe; requests that wait together share a commit."""

    def __init__(
        self,
        options: IngestOptions,
        price: Price,
        *,
        writers: int = WRITERS,
        observe: Observe | None = None,
        observe_commit_seconds: Callable[[float], None] | None = None,
    ) -> None:
        """`observe` sees what became of each request, `observe_commit_seconds` how long each commit took."""
        if options.logs_costs:
            start_cost_log()
        self._committer = Committer(
            lambda: LedgerStore(
                options.database_url,
                enrich=cost_attributes if options.is_forwarding else None,
                announce=log_calls if options.logs_costs else None,
            ),
            price,
            writers=writers,
            observe_seconds=observe_commit_seconds,
        )
        self._pipeline = Pipeline(
            self._committer,
            observe or _observe_no_request,
            is_forwarding=options.is_forwarding,
            keeps_content=options.forwards_content,
            estimates_usage=options.estimates_usage,
            trusted_cost_sources=frozenset(options.trusted_cost_sources),
        )

    def __call__(self, request: DecodedRequest) -> Receipt:
        """Read, settle and store the spans of a request. Raises `StoreUnavailable` or `Overloaded`."""
        return self._pipeline(request)

    def begin(self, request: DecodedRequest, done: Callable[[Receipt | Exception], object]) -> bool:
        """Begin to store a request; `done` gets what a call returns or raises. False, and no more, without room."""
        return self._pipeline.begin(request, done)

    def submit(self, facts: Facts) -> Receipt:
        """Settle and store facts that were read before. Raises as a call."""
        return self._committer.submit(facts)

    def close(self) -> None:
        """Commit what is on its way, for a bounded time, and let go of the database."""
        self._committer.close(timeout_seconds=_DRAIN_SECONDS_MAX)


def _observe_no_request(facts: Facts, receipt: Receipt) -> None:
    """Count nothing: there are no metrics here."""
    del facts, receipt
