"""`callfare budget set|raise|list|status|remove|release`: what a tenant's calls may cost, and what they did cost."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from cost_exporter.cli.database import open_connection, open_reader
from cost_exporter.cli.options import AsJson, OnlyTenant
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.domain.money import to_plain
from cost_exporter.errors import CallfareError
from cost_exporter.report.amounts import time_text
from cost_exporter.report.budgets import budget_json, budget_sheet, calls_of
from cost_exporter.report.sheet import Fold, Sheet
from cost_exporter.settings.budget_rule import BudgetRule
from cost_exporter.store.budgets.definitions import BudgetSpec, all_budgets, put_budget, remove_budget
from cost_exporter.store.budgets.expiry import Held, held_by_the_expired
from cost_exporter.store.budgets.reserving import release_expired
from cost_exporter.store.budgets.rules import spec_of

__all__ = ["budgets"]

_OPTIONS: Final = {"limit_usd": "--limit", "soft_percent": "--soft-percent", "raised_by_usd": "--raise-by"}
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the budget.")]
budgets = typer.Typer(help="Budgets: what calls may cost in an hour, a day, a month or in all.", no_args_is_help=True)


@budgets.command(name="set")
def set_budget(
    name: Name,
    *,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose calls; '*': each tenant by itself.")],
    limit: Annotated[str, typer.Option(metavar="USD", help="What may be spent in a window.")],
    window: Annotated[str, typer.Option(metavar="WINDOW", help="hour, day, month (calendar, UTC) or total.")] = "month",
    hard: Annotated[str, typer.Option(metavar="yes|no|shadow", help="Whether it refuses calls.")] = "yes",
    soft_percent: Annotated[str | None, typer.Option(metavar="N", help="Percentage reported as reached.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(metavar="N", help="Another percentage; may be given several times.")
    ] = None,
    unpriced: Annotated[
        str | None, typer.Option(metavar="refuse|allow|USD", help="A call without a price. [hard: refuse, else allow]")
    ] = None,
    api_key: Annotated[str | None, typer.Option(metavar="ID", help="Only calls with this API key id.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of this user.")] = None,
    category: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this category.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls to this provider.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only calls of this model; NAME* begins so.")
    ] = None,
    raise_by: Annotated[str | None, typer.Option(metavar="USD", help="Add this to the limit for a time.")] = None,
    raise_until: Annotated[str | None, typer.Option(metavar="DATE", help="When the raise ends, UTC.")] = None,
) -> None:
    """Set a budget, or change the one of this name as a whole."""
    stated = {
        "name": name,
        "tenant": tenant,
        "window": window,
        "limit_usd": limit,
        "hard": {"yes": True, "no": False}.get(hard, hard),
        "soft_percent": soft_percent,
        "thresholds": tuple(threshold or ()),
        "unpriced": unpriced,
        "api_key": api_key,
        "user": user,
        "category": category,
        "provider": provider,
        "model": model,
        "raised_by_usd": raise_by,
        "raised_until": raise_until,
    }
    spec = spec_of(_rule(stated))
    with open_connection() as connection:
        put_budget(connection, spec)
    print_line(
        f"budget {name} is set: {to_plain(spec.limit_usd)} USD a {window}"
        if window != "total"
        else f"budget {name} is set: {to_plain(spec.limit_usd)} USD in all"
    )


@budgets.command(name="raise")
def raise_budget(
    name: Name,
    *,
    by: Annotated[str, typer.Option(metavar="USD", help="Added to the limit.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="When the raise ends: a date (its midnight, UTC).")],
) -> None:
    """Raise the limit of a budget for a time. A raise replaces the one before; 0 ends it."""
    with open_connection() as connection:
        spec = next((spec for spec in all_budgets(connection, None) if spec.name == name), None)
        if spec is None:
            raise CallfareError(f"there is no budget {name!r}; see `callfare budget list`")
        raised = _rule(
            {
                "name": name,
                "tenant": spec.tenant,
                "window": spec.time_window,
                "limit_usd": to_plain(spec.limit_usd),
                "raised_by_usd": by,
                "raised_until": until,
            },
            {"raised_by_usd": "--by", "raised_until": "--until"},
        )
        put_budget(
            connection,
            replace(spec, raised_by_usd=raised.raised_by_usd, raised_until=raised.raised_until, is_from_file=False),
        )
    print_line(f"budget {name} is raised by {by} USD until {until}")


@budgets.command(name="list")
def list_budgets(*, tenant: OnlyTenant = None, as_json: AsJson = False) -> None:
    """List the budgets as they were set."""
    with open_connection() as connection:
        found = all_budgets(connection, tenant)
    if as_json:
        print_json({"budgets": [_spec_json(spec) for spec in found]})
    else:
        print_sheet(_specs_sheet(found))


@budgets.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this budget.")] = None,
    *,
    tenant: OnlyTenant = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent and reserved in the window that runs. Exits 1 where a limit is exceeded."""
    with open_reader() as reader:
        rows = reader.budgets(tenant=tenant, name=name)
    with open_connection() as connection:
        held = held_by_the_expired(connection)
    if name is not None and not rows:
        raise CallfareError(f"no budget {name!r} applies to any tenant yet; see `callfare budget list`")
    shown = {(row["name"], row["tenant_id"]) for row in rows}
    held = [each for each in held if (each.budget, each.tenant) in shown]
    if as_json:
        print_json({"budgets": [budget_json(row) for row in rows], "held": [_held_json(each) for each in held]})
    else:
        print_sheet(budget_sheet(rows))
        if held:
            print_sheet(_held_sheet(held))
    if any(row["spent_usd"] > row["limit_usd"] for row in rows):
        raise typer.Exit(1)


@budgets.command()
def remove(name: Name) -> None:
    """Forget a budget. What was spent stays in the ledger."""
    with open_connection() as connection:
        if not remove_budget(connection, name):
            raise CallfareError(f"there is no budget {name!r}; see `callfare budget list`")
    print_line(f"budget {name} is removed")


@budgets.command()
def release(
    reservation: Annotated[
        str, typer.Argument(metavar="ID", help="A lease or reservation of `callfare budget status`.")
    ],
) -> None:
    """Free what a process that fell silent holds, once you know that it spent nothing more."""
    with open_connection() as connection:
        state = release_expired(connection, reservation)
    if state is None:
        raise CallfareError(f"there is no reservation {reservation!r}; see `callfare budget status`")
    if state == "open":
        raise CallfareError(f"reservation {reservation} is in use: stop its process and release it 10 minutes later")
    print_line(f"reservation {reservation} holds nothing any more")


def _rule(stated: dict[str, Any], options: Mapping[str, str] = _OPTIONS) -> BudgetRule:
    """Read a budget as the configuration file does, with the names of the options in its errors."""
    try:
        return BudgetRule.model_validate({name: value for name, value in stated.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "budget"
        option = options.get(field, field if field in {"budget", "name"} else f"--{field.replace('_', '-')}")
        message = first["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{option}: {message}") from None


def _spec_json(spec: BudgetSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "tenant": spec.tenant,
        "window": spec.time_window,
        "limit_usd": to_plain(spec.limit_usd),
        "hard": {"hard": True, "soft": False}.get(spec.enforcement, "shadow"),
        "thresholds": [to_plain(each) for each in spec.thresholds],
        "unpriced": spec.unpriced if spec.assumed_usd is None else to_plain(spec.assumed_usd),
        "api_key": spec.api_key,
        "user": spec.user,
        "category": spec.category,
        "provider": spec.provider,
        "model": spec.model,
        "raised_by_usd": None if spec.raised_by_usd is None else to_plain(spec.raised_by_usd),
        "raised_until": None if spec.raised_until is None else spec.raised_until.isoformat(),
        "is_from_file": spec.is_from_file,
    }


def _specs_sheet(found: list[BudgetSpec]) -> Sheet:
    return Sheet(
        title="Budgets",
        columns=("budget", "tenant", "calls", "window", "limit_usd", "hard", "reports", "unpriced", "set by"),
        rows=tuple(
            (
                spec.name,
                spec.tenant,
                calls_of(
                    {
                        "api_key_id": spec.api_key,
                        "user_id": spec.user,
                        "category": spec.category,
                        "provider": spec.provider,
                        "model": spec.model,
                    }
                ),
                spec.time_window,
                _limit(spec),
                {"hard": "yes", "soft": "no"}.get(spec.enforcement, "shadow"),
                ", ".join(f"{to_plain(each)} %" for each in spec.thresholds),
                spec.unpriced if spec.assumed_usd is None else to_plain(spec.assumed_usd),
                "file" if spec.is_from_file else "command",
            )
            for spec in found
        ),
        right_aligned=frozenset({"limit_usd"}),
        unbroken=frozenset({"budget"}),
        folds=(
            Fold(columns=("tenant", "calls"), into="tenant / calls", separator="\n"),
            Fold(
                columns=("window", "hard", "set by"), into="window", separator="\n", words=("", " (hard)", " (set by)")
            ),
            Fold(columns=("reports", "unpriced"), into="reports", separator="\n", words=("", " unpriced")),
            Fold(columns=("budget", "tenant / calls", "window"), into="budget", separator="\n"),
        ),
    )


def _limit(spec: BudgetSpec) -> str:
    limit = to_plain(spec.limit_usd)
    if spec.raised_by_usd is None or spec.raised_until is None:
        return limit
    return f"{limit} (+ {to_plain(spec.raised_by_usd)} until {time_text(spec.raised_until)})"


def _held_json(held: Held) -> dict[str, str]:
    return {
        "reservation_id": held.reservation_id,
        "kind": held.kind,
        "budget": held.budget,
        "tenant": held.tenant,
        "held_usd": to_plain(held.held_usd),
    }


def _held_sheet(held: list[Held]) -> Sheet:
    return Sheet(
        title="Held for processes that fell silent",
        columns=("id", "kind", "budget", "tenant", "held_usd"),
        rows=tuple(
            (each.reservation_id, each.kind, each.budget, each.tenant, to_plain(each.held_usd)) for each in held
        ),
        right_aligned=frozenset({"held_usd"}),
        unbroken=frozenset({"id"}),
    )
