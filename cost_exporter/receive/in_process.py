"""Receiving from inside the application: `OTEL_TRACES_EXPORTER=callfare`, the same gate and pipeline, no service.

`callfare.in_process.InProcessExporter` encodes the spans as any OTLP exporter does and hands the bytes to what
`open_ingest` returns. So a span is read, priced and stored by the same code whichever way it came.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, Protocol

import psycopg

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.pipeline import Pipeline
from cost_exporter.read.decoded import DecodedRequest
from cost_exporter.receive.decode import Encoding, Sender
from cost_exporter.receive.gate import Gate
from cost_exporter.settings import Settings, load_config, load_settings
from cost_exporter.store.committer import Committer
from cost_exporter.store.embedded import EmbeddedPostgres
from cost_exporter.store.ledger import LedgerStore
from cost_exporter.store.migrate import migrate
from cost_exporter.store.price_books import BookKeeper

__all__ = ["GatedIngest", "InProcessIngest", "open_ingest"]

_LOG = logging.getLogger(__name__)
_REFRESH_SECONDS: Final = 1.0


class InProcessIngest(Protocol):
    """What the exporter in the application needs."""

    def __call__(self, body: bytes) -> Receipt:
        """Store a serialised ExportTraceServiceRequest; return after COMMIT.

        Raises `StoreUnavailable` or `Overloaded` where trying again may help, another `CallfareError` where not.
        """
        ...

    def close(self) -> None:
        """Commit what is on its way and let go of everything. Called once."""
        ...


class GatedIngest:
    """An `InProcessIngest` over a gate. No admission: the application's own span processor bounds what comes."""

    def __init__(self, gate: Gate, close: Callable[[], object]) -> None:
        """`close` stops what was started for the gate."""
        self._gate = gate
        self._close = close

    def __call__(self, body: bytes) -> Receipt:
        return self._gate.take(body, Encoding.PROTOBUF, Sender())

    def close(self) -> None:
        self._close()


def open_ingest(settings: Settings | None = None) -> InProcessIngest:
    """Open the database that the environment names and return the way to it. Raises `CallfareError`.

    Without `CALLFARE_DATABASE_URL` the embedded PostgreSQL is used: adopted where it runs already, else started,
    and then stopped with the application. Several processes want one that outlives each: `callfare up`, or a URL.
    """
    settings = load_settings() if settings is None else settings
    config = load_config(settings.config)
    with ExitStack() as opened:
        database_url = _database_url(settings, opened)
        migrate(database_url)
        books = opened.enter_context(closing(_Books(database_url, settings.prices)))
        committer = Committer(lambda: LedgerStore(database_url), books.price, writers=1)
        opened.callback(committer.close)
        pipeline = Pipeline(
            committer,
            _count_nothing,
            estimates_usage=settings.estimate_usage,
            trusted_cost_sources=frozenset(config.trusted_cost_sources),
        )

        def ingest(request: DecodedRequest) -> Receipt:
            books.refresh()
            return pipeline(request)

        return GatedIngest(Gate(ingest), opened.pop_all().close)


def _database_url(settings: Settings, opened: ExitStack) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    url = server.start()
    if not server.was_adopted:
        opened.callback(server.stop)
    return url


class _Books:
    """The book in force, looked up anew at most once a second, while spans come."""

    def __init__(self, database_url: str, paths: Sequence[Path]) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True, connect_timeout=5)
        self._keeper = BookKeeper(self._connection, paths)
        self._refreshed_at_seconds = time.monotonic()

    def price(self, usage: UsageRecord) -> Quote:
        """Return what a usage costs by the book in force."""
        return self._keeper.book.price(usage)

    def refresh(self) -> None:
        """Take over a new version; where the database is away the book in force stays."""
        if time.monotonic() - self._refreshed_at_seconds < _REFRESH_SECONDS:
            return
        self._refreshed_at_seconds = time.monotonic()
        try:
            self._keeper.refresh(self._connection)
        except psycopg.Error:
            _LOG.warning("the database does not answer; prices stay as they are")

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _count_nothing(facts: Facts, receipt: Receipt) -> None:
    """An application has metrics of its own."""
    del facts, receipt
