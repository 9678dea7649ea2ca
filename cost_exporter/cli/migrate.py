"""`callfare migrate`: bring the schema up to this program."""

import typer

from cost_exporter.cli.database import embedded_postgres
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line
from cost_exporter.settings import load_settings
from cost_exporter.store.database.migrate import migrate as apply_migrations

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(migrate)


def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database's schema up to this program. Run again, it does nothing."""
    settings = load_settings()
    if settings.database_url is not None:
        applied = apply_migrations(settings.database_url.get_secret_value())
    else:
        applied = _migrate_embedded()
    if as_json:
        print_json({"applied": applied})
    else:
        print_line("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


def _migrate_embedded() -> list[str]:
    """Migrate the embedded database, making it where there is none yet."""
    server = embedded_postgres(load_settings())
    url = server.start()
    try:
        return apply_migrations(url)
    finally:
        if not server.was_adopted:
            server.stop()
