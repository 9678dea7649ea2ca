"""`callfare audit list`: who changed prices, budgets, tokens, re-ratings and closed months, and when."""

import json
from typing import Annotated, cast

import typer

from cost_exporter.cli.database import open_connection
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_sheet
from cost_exporter.report.amounts import jsonable, short_time_text
from cost_exporter.report.forms import Fold, Sheet
from cost_exporter.store.audit import Change, newest_changes

__all__ = ["audit"]

_COUNT_MAX = 10_000
audit = typer.Typer(help="Who changed prices, budgets, tokens, re-ratings and closed months.", no_args_is_help=True)


@audit.callback()
def _only_with_a_command() -> None:
    """Make `list` a command of its own."""


@audit.command(name="list")
def list_changes(
    *,
    limit: Annotated[int, typer.Option(min=1, max=_COUNT_MAX, help="How many changes to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the last changes, the newest first."""
    with open_connection() as connection:
        found = newest_changes(connection, count=limit)
    if as_json:
        print_json({"changes": [_change_json(change) for change in found]})
    else:
        print_sheet(_sheet(found))


def _change_json(change: Change) -> dict[str, object]:
    return {
        "audit_id": change.audit_id,
        "happened_at": jsonable(change.happened_at),
        "database_user": change.database_user,
        "program": change.program,
        "action": change.action,
        "subject": change.subject,
        "details": change.details,
    }


def _sheet(found: list[Change]) -> Sheet:
    return Sheet(
        title="Changes (UTC)",
        columns=("happened_at", "action", "subject", "by", "details"),
        rows=tuple(
            (
                short_time_text(change.happened_at),
                change.action,
                change.subject,
                f"{change.program} as {change.database_user}",
                _details_text(change.details.get("after", change.details)),
            )
            for change in found
        ),
        unbroken=frozenset({"happened_at", "action"}),
        folds=(
            Fold(columns=("action", "subject"), into="action", separator=" "),
            Fold(columns=("happened_at", "action", "by"), into="change", separator="\n"),
        ),
    )


def _details_text(details: object) -> str:
    """Return what a change holds, as `name: value` where it has names."""
    if not isinstance(details, dict):
        return json.dumps(details, ensure_ascii=False)
    named = cast("dict[str, object]", details)
    return ", ".join(f"{name}: {_value_text(value)}" for name, value in named.items())


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
