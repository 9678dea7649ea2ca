"""`callfare up` and `callfare serve`: the service in the foreground until SIGTERM or Ctrl-C."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import typer

from cost_exporter.cli.background import Repeating
from cost_exporter.cli.database import embedded_postgres
from cost_exporter.cli.output import print_line
from cost_exporter.cli.service import Service
from cost_exporter.cli.stopping import stop_on_signal
from cost_exporter.errors import SettingsError
from cost_exporter.receive.process import start_logging
from cost_exporter.settings import Settings, load_settings
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate

__all__ = ["database_for", "register", "without_password"]

_PROCESSES_MAX: Final = 2
"""Unless more are asked for: each takes about 50 MB, and the service stays below 200; PostgreSQL wants cores too."""
_WATCH_DATABASE_EVERY_SECONDS: Final = 0.5
_log = logging.getLogger("cost_exporter")

DatabaseUrl = Annotated[
    str | None, typer.Option("--db", metavar="URL", help="postgresql://…; without it, a PostgreSQL of our own.")
]
NeededDatabaseUrl = Annotated[
    str | None, typer.Option("--db", metavar="URL", help="postgresql://…; without it, CALLFARE_DATABASE_URL.")
]
GrpcAddress = Annotated[str | None, typer.Option("--grpc", metavar="HOST:PORT", help="OTLP/gRPC. [127.0.0.1:4317]")]
HttpAddress = Annotated[str | None, typer.Option("--http", metavar="HOST:PORT", help="OTLP/HTTP. [127.0.0.1:4318]")]
WebAddress = Annotated[
    str | None, typer.Option("--web", metavar="HOST:PORT", help="Pages, API, metrics. [127.0.0.1:4319]")
]
Insecure = Annotated[
    bool | None, typer.Option("--insecure", help="Outside addresses without TLS: a proxy in front does it.")
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        help=f"Processes that ingest works in; 1: only the service's. [CPUs, at most {_PROCESSES_MAX}]",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(serve)


def up(
    *,
    db: DatabaseUrl = None,
    grpc: GrpcAddress = None,
    http: HttpAddress = None,
    web: WebAddress = None,
    insecure: Insecure = None,
) -> None:
    """Run everything: database, receivers, API and page."""
    settings = load_settings(database_url=db, otlp_grpc_addr=grpc, otlp_http_addr=http, web_addr=web, insecure=insecure)
    _run(settings, processes=_processes(settings))


def serve(
    *,
    db: NeededDatabaseUrl = None,
    grpc: GrpcAddress = None,
    http: HttpAddress = None,
    web: WebAddress = None,
    insecure: Insecure = None,
    processes: Processes = None,
) -> None:
    """Run the service on a database of yours: for containers."""
    settings = load_settings(
        database_url=db,
        otlp_grpc_addr=grpc,
        otlp_http_addr=http,
        web_addr=web,
        insecure=insecure,
        processes=processes,
    )
    if settings.database_url is None:
        raise SettingsError("serve needs a database: set CALLFARE_DATABASE_URL or --db, or use `callfare up`")
    _run(settings, processes=_processes(settings))


def _processes(settings: Settings) -> int:
    """Return in how many processes ingest works: where there are cores, in workers."""
    return settings.processes or min(usable_cpu_count(), _PROCESSES_MAX)


def _run(settings: Settings, *, processes: int) -> None:
    start_logging()
    with stop_on_signal() as stopping, database_for(settings) as database_url:
        service = Service(settings, _service_url(settings, database_url), processes=processes)
        addresses = service.start()
        try:
            for name, address in addresses.items():
                print_line(f"{name} {address}")
            print_line(f"database {without_password(database_url)}")
            stopping.wait()
        finally:
            service.stop()


def _service_url(settings: Settings, database_url: str) -> str:
    """Return where the service connects. On a server of our own it is a user that owns nothing and bypasses nothing."""
    if settings.database_url is not None:
        return database_url
    migrate(database_url)
    return embedded_postgres(settings).let_service_in()


def usable_cpu_count() -> int:
    """Return on how many CPUs this process may run."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def database_for(settings: Settings) -> Generator[str]:
    """Lend the URL of the database. One of our own is kept alive meanwhile, and stopped afterwards."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = embedded_postgres(settings)
    url = server.start()
    watch = Repeating("watch-database", lambda: _revive(server, url), every_seconds=_WATCH_DATABASE_EVERY_SECONDS)
    watch.start()
    try:
        yield url
    finally:
        watch.stop()
        server.release()


def _revive(server: EmbeddedPostgres, url: str) -> None:
    """Start the server again if it died. Asking it is cheap; only where it does not answer is its process looked at."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        if server.ensure_running():
            _log.warning("the embedded PostgreSQL had died and runs again")


def without_password(url: str) -> str:
    """Return the URL as it may be shown and logged."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
