"""`callfare consume`: spans out of Kafka into the ledger, in the foreground until SIGTERM or Ctrl-C.

Kafka ──▶ consumer ──▶ taker ──▶ intake ──▶ PostgreSQL        `callfare serve` beside it: pages, API, finalising,
             └──────── offsets after COMMIT ◀──┘              forwarding
"""

from contextlib import ExitStack, closing
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from psycopg_pool import ConnectionPool

from cost_exporter.alerts.lag import LagJudge
from cost_exporter.assembly import ingest_options, price_by
from cost_exporter.cli.counting import CountingObserver
from cost_exporter.cli.database import connect
from cost_exporter.cli.options import instant_of
from cost_exporter.cli.output import print_line
from cost_exporter.cli.service_commands import database_for, without_password
from cost_exporter.cli.stopping import stop_on_signal
from cost_exporter.errors import MissingExtra
from cost_exporter.receive.books import RefreshedBooks
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.intake import LocalIntake
from cost_exporter.receive.kafka.connection import broker_options
from cost_exporter.receive.kafka.taking import Taker
from cost_exporter.receive.kafka.topics import Topics, topics_of
from cost_exporter.receive.process import collect_garbage_less_often, start_logging
from cost_exporter.receive.stuck import StuckBatches
from cost_exporter.serve.kafka_metrics import KafkaMetrics, OnLag
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.serve.status import create_status_app
from cost_exporter.settings import Address, Config, Settings, load_config, load_settings, require_safe_address
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.session import open_pool
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.retention import remembered_since
from cost_exporter.store.token_directory import TokenDirectory

try:
    from cost_exporter.receive.kafka.consumer import SpanConsumer
    from cost_exporter.receive.kafka.replay import require_remembered, set_back
except ModuleNotFoundError as error:
    if error.name != "confluent_kafka":
        raise
    raise MissingExtra("callfare consume", "kafka") from error

__all__ = ["register"]

_PATIENCE_SECONDS: Final = 600.0
"""How long a message that fails through a fault of ours holds up its partition. Kafka keeps it for longer than that."""

DatabaseUrl = Annotated[
    str | None, typer.Option("--db", metavar="URL", help="postgresql://…; without it, a PostgreSQL of our own.")
]
WebAddress = Annotated[
    str | None, typer.Option("--web", metavar="HOST:PORT", help="Metrics, health, readiness. [127.0.0.1:4320]")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="beginning|DATE",
        help="First set the group back to there; its other consumers must be stopped. Nothing is billed twice.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(consume)


def consume(*, db: DatabaseUrl = None, web: WebAddress = None, start_from: From = None) -> None:
    """Take spans out of Kafka: one commit for what is polled together, offsets after it."""
    settings = load_settings(database_url=db, kafka_web_addr=web)
    config = load_config(settings.config)
    start = None if start_from in {None, "beginning"} else instant_of(str(start_from), "--from")
    start_logging()
    with stop_on_signal() as stopping, database_for(settings) as database_url, ExitStack() as opened:
        migrate(database_url)
        if start_from is not None:
            _set_back(settings, config, database_url, start)
        tokens = _tokens(settings, database_url, opened)
        require_safe_address(
            settings.kafka_web_addr,
            "--web",
            has_tokens=tokens.has_tokens,
            has_tls=settings.tls() is not None,
            is_insecure=settings.insecure,
        )
        metrics = ServiceMetrics()
        topics = Topics(topics_of(settings, config), tokens)
        topics.require_owners()
        intake = _intake(settings, config, database_url, metrics, opened)
        observer = KafkaMetrics(metrics.registry, _lag_judge(config, database_url, opened))
        brokers = broker_options(settings)
        consumer = SpanConsumer(brokers, settings.kafka_group, topics, Taker(intake), observer)
        readers = ReaderPool(database_url)
        opened.callback(readers.close)
        server, address = _start_web(settings, readers, metrics, tokens, consumer)
        opened.callback(server.stop)
        collect_garbage_less_often()
        print_line(f"kafka {brokers['bootstrap.servers']} {' '.join(topics.names)} as {settings.kafka_group}")
        print_line(f"web {address}")
        print_line(f"database {without_password(database_url)}")
        consumer.run(stopping)


def _set_back(settings: Settings, config: Config, database_url: str, start: datetime | None) -> None:
    with connect(database_url) as connection:
        require_remembered(start, remembered_since(connection))
    names = [each.topic for each in topics_of(settings, config)]
    set_back(broker_options(settings), settings.kafka_group, names, start)


def _tokens(settings: Settings, database_url: str, opened: ExitStack) -> TokenDirectory:
    pool = open_pool(database_url, size_max=2, wait_seconds_max=3, name="tokens")
    opened.callback(ConnectionPool[Any].close, pool)
    return TokenDirectory(pool.connection, is_always_closed=not settings.kafka_web_addr.is_loopback)


def _lag_judge(config: Config, database_url: str, opened: ExitStack) -> OnLag | None:
    """Return what takes the lag to judge it; None where no receiver wants to know."""
    if not any("kafka_lag" in rule.on for rule in config.alerts):
        return None
    pool = open_pool(database_url, size_max=1, wait_seconds_max=3, name="alerts")
    opened.callback(ConnectionPool[Any].close, pool)
    judge = LagJudge(pool.connection, config.alerts)
    opened.callback(judge.stop)
    return judge.lagging


def _intake(
    settings: Settings, config: Config, database_url: str, metrics: ServiceMetrics, opened: ExitStack
) -> LocalIntake:
    books = opened.enter_context(closing(RefreshedBooks(database_url, settings.prices)))
    intake = LocalIntake(
        ingest_options(settings, config, database_url),
        price_by(lambda: books.book),
        CountingObserver(metrics),
        before=books.refresh,
        stuck=StuckBatches(_PATIENCE_SECONDS),
    )
    opened.callback(intake.close)
    return intake


def _start_web(
    settings: Settings, readers: ReaderPool, metrics: ServiceMetrics, tokens: TokenDirectory, consumer: SpanConsumer
) -> tuple[HttpServer, Address]:
    address = settings.kafka_web_addr
    app = create_status_app(
        lend=readers.lend,
        metrics=metrics,
        authenticate=tokens,
        is_local=address.is_loopback,
        is_receiving=lambda: consumer.is_alive,
        not_receiving="the consumer gives no sign of life; start it again",
    )
    server = HttpServer(app, option="--web", grace_seconds=5)
    return server, server.start(address, settings.tls())
