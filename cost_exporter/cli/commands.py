"""Which commands there are, and where each one is. A command's module is imported when the command is called.

So `callfare --help` and the shell's completion need neither a database driver nor a web server. The first line of
help stands here, and a test compares it with the command's own.
"""

from collections.abc import Callable
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

__all__ = ["COMMANDS", "LazyCommands", "load_command"]


def _service(app: typer.Typer) -> None:
    from cost_exporter.cli import service_commands

    service_commands.register(app)


def _consume(app: typer.Typer) -> None:
    from cost_exporter.cli import consume

    consume.register(app)


def _demo(app: typer.Typer) -> None:
    from cost_exporter.cli import demo

    demo.register(app)


def _workflows(app: typer.Typer) -> None:
    from cost_exporter.cli import workflows

    workflows.register(app)


def _spend(app: typer.Typer) -> None:
    from cost_exporter.cli import spend

    spend.register(app)


def _unread(app: typer.Typer) -> None:
    from cost_exporter.cli import unread

    unread.register(app)


def _hints(app: typer.Typer) -> None:
    from cost_exporter.cli import hints

    hints.register(app)


def _prices(app: typer.Typer) -> None:
    from cost_exporter.cli.prices import prices

    app.add_typer(prices, name="prices")


def _rerate(app: typer.Typer) -> None:
    from cost_exporter.cli import rerate

    rerate.register(app)


def _tokens(app: typer.Typer) -> None:
    from cost_exporter.cli.tokens import tokens

    app.add_typer(tokens, name="token")


def _budgets(app: typer.Typer) -> None:
    from cost_exporter.cli.budgets import budgets

    app.add_typer(budgets, name="budget")


def _reconcile(app: typer.Typer) -> None:
    from cost_exporter.cli import reconcile

    reconcile.register(app)


def _mcp(app: typer.Typer) -> None:
    from cost_exporter.cli import mcp_server

    mcp_server.register(app)


def _periods(app: typer.Typer) -> None:
    from cost_exporter.cli.periods import periods

    app.add_typer(periods, name="period")


def _alerts(app: typer.Typer) -> None:
    from cost_exporter.cli.alerts import alerts

    app.add_typer(alerts, name="alert")


def _audit(app: typer.Typer) -> None:
    from cost_exporter.cli.audit import audit

    app.add_typer(audit, name="audit")


def _dead_letters(app: typer.Typer) -> None:
    from cost_exporter.cli.deadletters import deadletters

    app.add_typer(deadletters, name="deadletter")


def _checks(app: typer.Typer) -> None:
    from cost_exporter.cli import checks

    checks.register(app)


def _exports(app: typer.Typer) -> None:
    from cost_exporter.cli import exports

    exports.register(app)


def _query(app: typer.Typer) -> None:
    from cost_exporter.cli import lake_query

    lake_query.register(app)


def _purge(app: typer.Typer) -> None:
    from cost_exporter.cli import purge

    purge.register(app)


def _migrate(app: typer.Typer) -> None:
    from cost_exporter.cli import migrate

    migrate.register(app)


COMMANDS: Final[dict[str, tuple[Callable[[typer.Typer], None], str]]] = {
    "up": (_service, "Run everything: database, receivers, API and page."),
    "serve": (_service, "Run the service on a database of yours: for containers."),
    "consume": (_consume, "Take spans out of Kafka: one commit for what is polled together, offsets after it."),
    "demo": (_demo, "Answer one phone call against local fakes of four vendors and show what each part of it cost."),
    "trace": (_workflows, "Show one workflow by leg: quantity, unit, unit price, cost, status."),
    "top": (_workflows, "Show the most expensive workflows of a period (by default the last 30 days)."),
    "report": (_spend, "Show spend; by default of the last 30 days."),
    "unread": (
        _unread,
        "List usage-like attributes and call-like spans that were not understood (by default of the last 30 days).",
    ),
    "hints": (
        _hints,
        "Show where money may have been spent without need, and at most how much (by default in the last 30 days).",
    ),
    "verify": (
        _checks,
        "Compare the ledger with its rollups, to the last digit. Exits 1 and names every key that differs.",
    ),
    "doctor": (
        _checks,
        "Look at configuration, database, clock, age of prices and instrumentations. Exits 1 if something is wrong.",
    ),
    "export": (
        _exports,
        "Write what has become final or was corrected since the last export into Parquet files.",
    ),
    "query": (
        _query,
        "Ask exported files by SQL. Only files that a manifest names are read, and nothing else can be.",
    ),
    "purge": (
        _purge,
        "Drop the records of whole months that are over. Reports by day and workflow totals stay as they are.",
    ),
    "migrate": (_migrate, "Bring the database's schema up to this program. Run again, it does nothing."),
    "prices": (_prices, "The price book: look at it, check it, change it, price by it."),
    "rerate": (_rerate, "Price past records again, or list earlier re-ratings."),
    "budget": (_budgets, "Budgets: what calls may cost in an hour, a day, a month or in all."),
    "reconcile": (
        _reconcile,
        "Compare our figures with the provider's own, by day and model. Exits 1 where they do not match.",
    ),
    "mcp": (_mcp, "Give an editor's agent five read-only tools (MCP on standard input and output)."),
    "period": (_periods, "Close months: from then on they change only by corrections."),
    "alert": (_alerts, "Alerts: receivers, and what was delivered to them."),
    "audit": (_audit, "Who changed prices, budgets, tokens, re-ratings and closed months."),
    "token": (_tokens, "Credentials for sending and reading."),
    "deadletter": (_dead_letters, "Spans that could not be kept as records."),
}
"""Each command, in the order of the help: what adds it to an application, and its first line of help."""


def load_command(name: str) -> Any:
    """Return a command, with its options and all that it needs imported."""
    alone = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
    register, _ = COMMANDS[name]
    register(alone)
    return get_group(alone).commands[name]


class LazyCommands(TyperGroup):
    """A group that knows its commands by name and help alone until one of them is called."""

    def __init__(self, **attributes: Any) -> None:
        """Begin with the names."""
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name=name, help=text) for name, (_, text) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name, and what is left of them. Raises for an unknown one."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest
