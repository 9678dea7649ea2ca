"""Receiving from inside the application: `OTEL_TRACES_EXPORTER=callfare`, the same gate and pipeline, no service.

`callfare.export.in_process.InProcessExporter` encodes the spans as any OTLP exporter does and hands the bytes to what
`open_intake` returns. So a span is read, priced and stored by the same code whichever way it came.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Protocol

from cost_exporter.assembly import ingest_options, price_by
from cost_exporter.domain.facts import Receipt
from cost_exporter.receive.books import RefreshedBooks
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.intake import Intake, LocalIntake
from cost_exporter.receive.observed import Unobserved
from cost_exporter.settings import Settings, load_config, load_settings
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate

__all__ = ["DirectIntake", "InProcessIntake", "open_intake"]


class InProcessIntake(Protocol):
    """The interface that the exporter in the application uses."""

    def __call__(self, body: bytes) -> Receipt:
        """Store a serialised ExportTraceServiceRequest; return after COMMIT.

        Raises `StoreUnavailable` or `Overloaded` where trying again may help, another `CallfareError` where not.
        """
        ...

    def close(self) -> None:
        """Commit what is on its way and let go of everything. Called once."""
        ...


class DirectIntake:
    """An `InProcessIntake` over an intake. No admission: the application's own span processor bounds what comes."""

    def __init__(self, intake: Intake, close: Callable[[], object]) -> None:
        """`close` stops what was started for the intake."""
        self._intake = intake
        self._close = close

    def __call__(self, body: bytes) -> Receipt:
        return self._intake.take(body, Encoding.PROTOBUF, SenderIdentity())

    def close(self) -> None:
        self._close()


def open_intake(settings: Settings | None = None) -> InProcessIntake:
    """Open the database that the environment names and return the way to it. Raises `CallfareError`.

    Without `CALLFARE_DATABASE_URL` the embedded PostgreSQL is used: adopted where it runs already, else started,
    and then stopped with the application. Several processes want one that outlives each: `callfare up`, or a URL.
    """
    settings = load_settings() if settings is None else settings
    config = load_config(settings.config)
    with ExitStack() as opened:
        database_url = _database_url(settings, opened)
        migrate(database_url)
        # What is forwarded is sent by a service, and an application has none.
        options = replace(ingest_options(settings, config, database_url), is_forwarding=False)
        books = opened.enter_context(closing(RefreshedBooks(database_url, settings.prices)))
        intake = LocalIntake(options, price_by(lambda: books.book), Unobserved(), writers=1, before=books.refresh)
        opened.callback(intake.close)
        return DirectIntake(intake, opened.pop_all().close)


def _database_url(settings: Settings, opened: ExitStack) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    url = server.start()
    if not server.was_adopted:
        opened.callback(server.stop)
    return url
