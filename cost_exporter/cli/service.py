"""The service, put together: receivers, ingest, what repeats in the background, and the web address.

    receivers ──▶ intake: gate ──▶ pipeline ──▶ committer ──▶ PostgreSQL ◀── web address
                  (here, or in worker processes)    └──▶ outbox ──▶ forwarding

Parts start from the database outwards and stop in the opposite order: senders are refused first, what is on
its way is committed and answered, and only then do the database's connections go.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from cost_exporter.alerts.delivery import Deliverer
from cost_exporter.alerts.judge import Judge
from cost_exporter.alerts.sending import require_extra
from cost_exporter.assembly import ingest_options, price_by
from cost_exporter.cli.background import Repeating
from cost_exporter.cli.counting import CountingObserver
from cost_exporter.cli.ledger_watch import LedgerWatch
from cost_exporter.cli.tenants import KnownTenants
from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.errors import StoreError
from cost_exporter.forward.cost_log import log_workflow, start_cost_log
from cost_exporter.forward.posthog_event import event_of
from cost_exporter.forward.posthog_transport import PosthogTransport
from cost_exporter.forward.sender import Sender, single_requests
from cost_exporter.forward.transport import transport_for
from cost_exporter.forward.workflow_span import FinalWorkflow, workflow_span
from cost_exporter.receive.admission.admission import Admission
from cost_exporter.receive.connections import OpenConnections, raise_file_limit
from cost_exporter.receive.event_loop import receiving_loop
from cost_exporter.receive.grpc.receiver import GrpcReceiver
from cost_exporter.receive.http.receiver import HttpReceiver
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.intake import Intake, LocalIntake
from cost_exporter.receive.process import collect_garbage_less_often
from cost_exporter.receive.workers.pool import WorkerPool
from cost_exporter.serve.app import create_app
from cost_exporter.serve.final_costs import FinalCosts
from cost_exporter.serve.metrics import CostTotals, ServiceMetrics
from cost_exporter.settings import Address, Settings, load_config, require_safe_address
from cost_exporter.store.budgets.accounts import lender_of, open_budget_pool
from cost_exporter.store.budgets.definitions import sync_budgets
from cost_exporter.store.budgets.expiry import sweep_reservations
from cost_exporter.store.budgets.rules import spec_of
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.session import open_pool
from cost_exporter.store.finalise import FinalisedTrace, finalise, forget_empty_traces
from cost_exporter.store.identity import SeenLedgers
from cost_exporter.store.old_calls import move_old_calls
from cost_exporter.store.outbox import PostgresOutbox
from cost_exporter.store.posthog import PosthogOutbox
from cost_exporter.store.price_books import BookKeeper
from cost_exporter.store.reading import Reader, ReaderPool
from cost_exporter.store.rerate import RerateRunning, retry_unpriced
from cost_exporter.store.rules import sync_rules
from cost_exporter.store.token_directory import TokenDirectory
from cost_exporter.store.web_sessions import WebSessions

__all__ = ["Service"]

_DRAIN_SECONDS_MAX: Final = 15.0
_REFRESH_BOOK_EVERY_SECONDS: Final = 0.5
_RETRY_UNPRICED_EVERY_SECONDS: Final = 1.0
_ALL_HAVE_NEW_PRICES_SECONDS: Final = 5.0
"""By then every process that ingests has noticed a new version, and committed what it priced by the old one."""
_FINALISE_EVERY_SECONDS_MAX: Final = 10.0
_FINALISED_AT_ONCE: Final = 1000
_SWEEP_RESERVATIONS_EVERY_SECONDS: Final = 60.0
_CHECK_ROLLUPS_EVERY_SECONDS: Final = 3600.0
_LOOK_AT_LEDGER_EVERY_SECONDS: Final = 60.0
_MOVE_OLD_CALLS_EVERY_SECONDS: Final = 900.0
_WRITE_LAST_USE_EVERY_SECONDS: Final = 60.0
_POOL_CONNECTIONS_MAX: Final = 4
_ALERT_CONNECTIONS_MAX: Final = 3
_FIRST_CONNECTION_SECONDS_MAX: Final = 30.0
"""At the start the database was reachable a moment ago. Later, requests are answered with "try again" sooner."""
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Service:
    """Everything between the OTLP ports and the database. Make it, `start` it, `stop` it; once."""

    def __init__(self, settings: Settings, database_url: str, *, processes: int = 1) -> None:
        """Migrate the database, load the prices, and build every part. Nothing listens yet.

        With more than one process, ingest runs in that number of workers.
        """
        self._settings = settings
        self._processes = processes
        self._database_url = database_url
        self._config = load_config(settings.config)
        self._tls = settings.tls()
        self._posthog = settings.posthog()
        self._page_url = settings.pages_at
        migrate(database_url)
        self._stops: list[Callable[[], object]] = []
        self._retries_at_seconds: list[float] = []
        self._mismatch_count: int | None = None
        pool = open_pool(database_url, size_max=_POOL_CONNECTIONS_MAX, wait_seconds_max=3, name="service")
        self._pool = self._stopped_by(pool, ConnectionPool[Any].close)
        self._readers = self._stopped_by(ReaderPool(database_url), ReaderPool.close)
        budget_pool = open_budget_pool(database_url)
        self._budget_pool = self._stopped_by(budget_pool, ConnectionPool[Any].close)
        self._tokens = TokenDirectory(self._pool.connection, is_always_closed=not _is_local(settings))
        self._known_tenants = KnownTenants(self._tokens, self._pool.connection)
        self._metrics = self._make_metrics()
        self._final_costs = FinalCosts(self._metrics.registry, self._known_tenants)
        with self._pool.connection(timeout=_FIRST_CONNECTION_SECONDS_MAX) as connection:
            earns_when_failed = self._config.revenue_when_failed
            sync_budgets(connection, [spec_of(rule, is_from_file=True) for rule in self._config.budgets])
            sync_rules(connection, self._config.revenue, self._config.fees, earns_when_failed=earns_when_failed)
            self._book_keeper = BookKeeper(connection, settings.prices)
        self._price = price_by(lambda: self._book_keeper.book)
        for name, version_id in self._book_keeper.loaded_files.items():
            _log.info("loaded the prices of %s, which are new, as version %d", name, version_id)
            self._retries_at_seconds = [time.monotonic()]

    def start(self) -> dict[str, Address]:
        """Open the ports and return the addresses by name. Raises `CallfareError` with nothing left running."""
        try:
            self._require_safe_addresses()
            intake = self._make_intake()
            self._start_background()
            collect_garbage_less_often()
            return self._start_receivers(intake) | {"web": self._start_web(intake)}
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Refuse what comes, commit and answer what is on its way, let go of everything."""
        while self._stops:
            self._stops.pop()()

    # ------------------------------------------------------------------------------------------- one part each

    def _stopped_by(self, part: T, stop: Callable[[T], object]) -> T:
        """Remember how a part is stopped, and return the part."""
        self._stops.append(lambda: stop(part))
        return part

    def _make_metrics(self) -> ServiceMetrics:
        metrics = ServiceMetrics()
        metrics.registry.register(CostTotals(self._cost_totals, self._known_tenants))
        metrics.watch_book_age(self._book_age_days)
        metrics.watch_missing_spans(self._missing_spans)
        return metrics

    def _make_intake(self) -> Intake:
        options = ingest_options(self._settings, self._config, self._database_url)
        observer = CountingObserver(self._metrics)
        if self._processes > 1:
            return self._stopped_by(WorkerPool(options, observer, count=self._processes), WorkerPool.close)
        return self._stopped_by(LocalIntake(options, self._price, observer), LocalIntake.close)

    def _start_background(self) -> None:
        self._repeat("refresh-book", self._refresh_book, every_seconds=_REFRESH_BOOK_EVERY_SECONDS)
        self._repeat("retry-unpriced", self._retry_unpriced, every_seconds=_RETRY_UNPRICED_EVERY_SECONDS)
        often = min(_FINALISE_EVERY_SECONDS_MAX, self._settings.finalise_after / 4)
        if self._settings.log_costs:
            start_cost_log()
        self._repeat("finalise", self._finalise, every_seconds=often)
        self._repeat("sweep-reservations", self._sweep_reservations, every_seconds=_SWEEP_RESERVATIONS_EVERY_SECONDS)
        self._stopped_by(self._tokens, _write_last_use)
        self._repeat("token-use", self._tokens.write_last_use, every_seconds=_WRITE_LAST_USE_EVERY_SECONDS)
        watch = LedgerWatch(self._pool.connection, SeenLedgers(self._settings.data_dir, self._database_url))
        self._repeat("ledger", watch.look, every_seconds=_LOOK_AT_LEDGER_EVERY_SECONDS)
        self._repeat("check-rollups", self._check_rollups, every_seconds=_CHECK_ROLLUPS_EVERY_SECONDS)
        self._start_alerts()
        self._repeat("move-old-calls", self._move_old_calls, every_seconds=_MOVE_OLD_CALLS_EVERY_SECONDS)
        if self._settings.forward_endpoint is not None:
            sender = Sender(PostgresOutbox(self._pool), transport_for(self._settings.forward_endpoint))
            self._stopped_by(sender, Sender.stop)
            sender.start()
        if self._posthog is not None:
            outbox = PosthogOutbox(self._pool, partial(event_of, page_url=self._page_url))
            transport = PosthogTransport(*self._posthog)
            sender = Sender(outbox, transport, halve=single_requests, backend="posthog", what="events")
            self._stopped_by(sender, Sender.stop).start()

    def _start_alerts(self) -> None:
        rules = self._config.alerts
        if not rules:
            return
        require_extra(rules)
        self._metrics.watch_receivers(rule.name for rule in rules)
        pool = open_pool(self._database_url, size_max=_ALERT_CONNECTIONS_MAX, wait_seconds_max=10, name="alerts")
        lend = self._stopped_by(pool, ConnectionPool[Any].close).connection
        deliverer = Deliverer(lend, rules, page_url=self._page_url, count=self._metrics.alert_delivery)
        judge = Judge(
            lend,
            rules,
            reports=self._config.reports,
            prices_checked_on=lambda: _newest_check(self._book_keeper.book),
            mismatch_count=lambda: self._mismatch_count,
            count_given_up=lambda receiver: self._metrics.alert_delivery(receiver, "given_up"),
        )
        self._stopped_by(deliverer, Deliverer.stop).start()
        self._stopped_by(judge, Judge.stop).start()

    def _start_receivers(self, intake: Intake) -> dict[str, Address]:
        raise_file_limit()
        shared: dict[str, Any] = {
            "authenticate": self._tokens,
            "admission": Admission(),
            "count_refused": self._metrics.refused,
            "connections": OpenConnections(),
        }
        grpc, http = GrpcReceiver(intake, **shared), HttpReceiver(intake, **shared)
        http_server = HttpServer(http.app, option="--http", loop=receiving_loop(), connections=shared["connections"])
        self._stopped_by(http, HttpReceiver.close)
        self._stops.append(lambda: _at_once(lambda: grpc.stop(_DRAIN_SECONDS_MAX), http_server.stop))
        return {
            "grpc": grpc.start(self._settings.otlp_grpc_addr, self._tls),
            "http": http_server.start(self._settings.otlp_http_addr, self._tls),
        }

    def _start_web(self, intake: Intake) -> Address:
        app = create_app(
            lend=self._readers.lend_to,
            lend_stream=self._readers.lend_stream_to,
            book=lambda: self._book_keeper.book,
            jaeger_url=self._settings.jaeger_url,
            lend_budgets=lender_of(self._budget_pool),
            metrics=self._metrics,
            authenticate=self._tokens,
            sessions=WebSessions(self._pool.connection),
            is_local=self._settings.web_addr.is_loopback,
            is_receiving=lambda: intake.is_ready,
        )
        server = self._stopped_by(HttpServer(app, option="--web", grace_seconds=5), HttpServer.stop)
        return server.start(self._settings.web_addr, self._tls)

    def _require_safe_addresses(self) -> None:
        for name, address in _addresses(self._settings).items():
            require_safe_address(
                address,
                name,
                has_tokens=self._tokens.has_tokens,
                has_tls=self._tls is not None,
                is_insecure=self._settings.insecure,
            )

    # ---------------------------------------------------------------------------------------------- what repeats

    def _repeat(self, name: str, work: Callable[[], object], *, every_seconds: float) -> None:
        self._stopped_by(Repeating(name, work, every_seconds=every_seconds), Repeating.stop).start()

    def _refresh_book(self) -> None:
        with self._pool.connection(timeout=1) as connection:
            if self._book_keeper.refresh(connection):
                now_seconds = time.monotonic()
                self._retries_at_seconds = [now_seconds, now_seconds + _ALL_HAVE_NEW_PRICES_SECONDS]

    def _retry_unpriced(self) -> None:
        """Try a new version of the book on what had no price: at once, and again when all processes have it.

        Where somebody else re-rates now, try again later.
        """
        retries_at_seconds = self._retries_at_seconds
        if not retries_at_seconds or time.monotonic() < retries_at_seconds[0]:
            return
        try:
            totals = retry_unpriced(self._database_url, self._price, self._book_keeper.book.version)
        except RerateRunning:
            return
        del retries_at_seconds[0]
        if totals is not None and totals.records:
            _log.info("new prices: %d records that had none are priced now", totals.records)

    def _finalise(self) -> None:
        """Declare final what was idle for long enough, and forget traces in which no call was ever made."""
        idle, now = timedelta(seconds=self._settings.finalise_after), datetime.now(UTC)
        outgoing = None if self._settings.forward_endpoint is None else _total_span
        while True:
            with self._pool.connection(timeout=1) as connection:
                final = finalise(
                    connection, idle=idle, now=now, outgoing=outgoing, is_for_posthog=self._posthog is not None
                )
            # Committed, so nobody else finalises these; counted without a connection of the pool in hand.
            for each in final:
                self._final_costs.observe(each.costs)
                if self._settings.log_costs and each.record_count:
                    log_workflow(
                        trace_id=each.trace_id,
                        tenant=each.tenant,
                        call_count=each.record_count,
                        total_cost_usd=each.total_cost_usd,
                        unpriced_count=each.unpriced_count,
                    )
            if len(final) < _FINALISED_AT_ONCE:
                break
        with self._pool.connection(timeout=1) as connection:
            forget_empty_traces(connection, now=now)

    def _sweep_reservations(self) -> None:
        with self._budget_pool.connection(timeout=1) as connection:
            sweep_reservations(connection)

    def _move_old_calls(self) -> None:
        with self._pool.connection(timeout=1) as connection:
            move_old_calls(connection)

    def _check_rollups(self) -> None:
        # A connection of its own, which waits as long as it takes.
        with Reader.connect(self._database_url) as reader:
            found = reader.mismatches()
        self._metrics.checked_rollups(len(found))
        self._mismatch_count = len(found)
        if found:
            _log.error("%d rollup keys differ from their records; `callfare verify` names them", len(found))

    def _cost_totals(self) -> list[dict[str, Any]]:
        with self._readers.lend() as reader:
            return reader.cost_totals()

    def _missing_spans(self) -> float:
        try:
            with self._readers.lend() as reader:
                return float(reader.missing_spans())
        except StoreError:
            return float("nan")  # unknown is not zero

    def _book_age_days(self) -> float:
        """Return the days since any price of the book was last checked."""
        return float((datetime.now(UTC).date() - _newest_check(self._book_keeper.book)).days)


def _total_span(final: FinalisedTrace) -> OutgoingSpan:
    """Return the span that carries the total of a workflow to the forward endpoint."""
    ended_at = final.ended_at or datetime.now(UTC)
    return workflow_span(
        FinalWorkflow(
            tenant=final.tenant,
            trace_id=bytes.fromhex(final.trace_id),
            root_span_id=None if final.root_span_id is None else bytes.fromhex(final.root_span_id),
            ended_at_unix_ns=int(ended_at.timestamp()) * 1_000_000_000,
            total_cost_usd=final.total_cost_usd,
            unpriced_count=final.unpriced_count,
        )
    )


@lru_cache(maxsize=2)
def _newest_check(book: PriceBook) -> date:
    """Return when a price was last checked. Thousands of rows, so it is looked up once a book."""
    return date.fromisoformat(max((row.checked[:10] for row in book.rows if row.checked), default="1970-01-01"))


def _addresses(settings: Settings) -> dict[str, Address]:
    """Return where the service listens, by the option that chooses it."""
    return {"--grpc": settings.otlp_grpc_addr, "--http": settings.otlp_http_addr, "--web": settings.web_addr}


def _is_local(settings: Settings) -> bool:
    """Whether only this machine can connect."""
    return all(address.is_loopback for address in _addresses(settings).values())


def _write_last_use(tokens: TokenDirectory) -> None:
    """Write it a last time. A database that is away at the end loses a minute of it, and stops nothing."""
    try:
        tokens.write_last_use()
    except (psycopg.Error, PoolTimeout):
        _log.info("the last use of tokens was not written: the database is away")


def _at_once(*stops: Callable[[], object]) -> None:
    """Stop several receivers together: their grace periods must not add up."""
    threads = [threading.Thread(target=stop) for stop in stops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
