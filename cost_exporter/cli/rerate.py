"""`callfare rerate`: price stored calls again by the book in force now. A dry run, unless writing is requested."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

import typer

from cost_exporter.assembly import price_by
from cost_exporter.cli.database import connect, open_connection, open_database
from cost_exporter.cli.options import AsJson, OnlyTenant, period_of
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.cli.price_book import book_in_database
from cost_exporter.domain.money import to_plain
from cost_exporter.report.amounts import cost_text, short_time_text
from cost_exporter.report.forms import Fold, Sheet
from cost_exporter.store.rerate import (
    ReratedPeriod,
    RerateTotals,
    apply_rerate,
    list_rerates,
    preview_rerate,
    resume_rerate,
    undo_rerate,
)

__all__ = ["register"]

Since = Annotated[str | None, typer.Option(metavar="DATE", help="First day or instant, UTC. Not with an ID.")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="End, exclusive, UTC. Not with an ID.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change. This is the default.")]
Apply = Annotated[bool, typer.Option("--apply", help="Write the new prices; every replaced quote is kept.")]
Undo = Annotated[int | None, typer.Option("--undo", metavar="ID", help="Put back what a re-rating replaced.")]
Resume = Annotated[int | None, typer.Option("--resume", metavar="ID", help="Go on with an interrupted one.")]

_rerates = typer.Typer(help="Price past records again, or list earlier re-ratings.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(_rerates, name="rerate")


@_rerates.callback(invoke_without_command=True)
def rerate(
    context: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    tenant: OnlyTenant = None,
    dry_run: DryRun = False,
    apply: Apply = False,
    undo: Undo = None,
    resume: Resume = None,
    as_json: AsJson = False,
) -> None:
    """Price the records of a period again, by the book in force now. Exact throughout; can be undone."""
    if context.invoked_subcommand is not None:
        if (since, until, tenant, undo, resume, dry_run, apply) != (None, None, None, None, None, False, False):
            raise typer.BadParameter("`callfare rerate list` takes no options but --json")
        return
    if sum((dry_run, apply, undo is not None, resume is not None)) > 1:
        raise typer.BadParameter("choose one of --dry-run, --apply, --undo ID and --resume ID")
    is_by_id = undo is not None or resume is not None
    if (since is None or until is None) and not is_by_id:
        raise typer.BadParameter("say which period: --since DATE --until DATE (exclusive)")
    if is_by_id and (since, until, tenant) != (None, None, None):
        raise typer.BadParameter("a re-rating's id stands for its period and tenant; leave out the other options")
    with open_database() as url:
        totals = _last(_steps(url, since, until, tenant, undo=undo, resume=resume, is_applied=apply))
    if as_json:
        print_json(_totals_json(totals))
        return
    is_written = apply or is_by_id
    _print(totals, title=_title(totals, is_written=is_written))
    print_line(_outcome(totals, undone=undo, is_written=is_written))


@_rerates.command(name="list")
def list_past(*, as_json: AsJson = False) -> None:
    """List the re-ratings that changed anything, the latest first; also those that new prices caused."""
    with open_connection() as connection:
        found = list_rerates(connection)
    if as_json:
        print_json({"rerates": [_rerate_json(row) for row in found]})
        return
    print_sheet(
        Sheet(
            title="Re-ratings (times are UTC)",
            columns=("id", "state", "created_at", "since", "until", "tenant", "records", "before", "after"),
            rows=tuple(_cells(row) for row in found),
            right_aligned=frozenset({"records", "before", "after"}),
            unbroken=frozenset({"created_at", "since", "until"}),
            folds=(
                Fold(columns=("since", "until"), into="period", separator="\n", words=(" from", " until")),
                Fold(columns=("state", "created_at"), into="state", separator="\n"),
                Fold(columns=("before", "after"), into="before / after", separator="\n"),
            ),
        )
    )


def _steps(
    url: str,
    since: str | None,
    until: str | None,
    tenant: str | None,
    *,
    undo: int | None,
    resume: int | None,
    is_applied: bool,
) -> Iterator[RerateTotals]:
    """Return the steps of what was asked for."""
    with connect(url) as connection:
        book = book_in_database(connection)
    price = price_by(lambda: book)
    if undo is not None:
        return undo_rerate(url, undo, price)
    if resume is not None:
        return resume_rerate(url, resume, price)
    asked = period_of(since, until)
    period = ReratedPeriod(since=asked.since, until=asked.until, tenant=tenant)
    if is_applied:
        return apply_rerate(url, period, price, book.version)
    return preview_rerate(url, period, price)


def _last(steps: Iterator[RerateTotals]) -> RerateTotals:
    totals = RerateTotals()
    for totals in steps:  # noqa: B007 - each step's totals hold those before
        pass
    return totals


def _title(totals: RerateTotals, *, is_written: bool) -> str:
    return f"Re-rating {totals.rerate_id}" if is_written and totals.rerate_id is not None else "What changes"


def _outcome(totals: RerateTotals, *, undone: int | None, is_written: bool) -> str:
    """Return what was written, and what to do next."""
    if undone is not None:
        return f"Re-rating {undone} is undone: {totals.records} records have the cost they had before it."
    if not totals.records:
        return "Nothing changes, so nothing was written."
    if not is_written:
        return "Nothing was written. Say --apply to write it."
    return f"Written: {totals.records} records. `callfare rerate --undo {totals.rerate_id}` puts their costs back."


def _print(totals: RerateTotals, *, title: str) -> None:
    rows = [(name, *_change(*sums)) for name, sums in sorted(totals.by_model.items())]
    change = _change(totals.before_usd, totals.after_usd)
    print_sheet(
        Sheet(
            title=title,
            columns=("model", "before", "after", "difference"),
            rows=tuple(rows),
            right_aligned=frozenset({"before", "after", "difference"}),
            total=f"{totals.records} records: {change[0]} → {change[1]} ({change[2]})",
        )
    )


def _totals_json(totals: RerateTotals) -> dict[str, Any]:
    return {
        "id": totals.rerate_id,
        "records": totals.records,
        "before_usd": to_plain(totals.before_usd),
        "after_usd": to_plain(totals.after_usd),
        "by_model": _sums_json(totals.by_model),
        "by_tenant": _sums_json(totals.by_tenant),
    }


def _change(before_usd: Decimal, after_usd: Decimal) -> tuple[str, str, str]:
    return cost_text(before_usd), cost_text(after_usd), cost_text(after_usd - before_usd)


def _sums_json(sums: dict[str, tuple[Decimal, Decimal]]) -> dict[str, dict[str, str]]:
    return {
        name: {"before_usd": to_plain(before), "after_usd": to_plain(after)}
        for name, (before, after) in sorted(sums.items())
    }


def _rerate_json(row: dict[str, Any]) -> dict[str, Any]:
    moments = ("since", "until", "created_at", "applied_at", "undone_at")
    money = ("before_usd", "after_usd")
    cells = {name: content for name, content in row.items() if name != "rerate_id"}
    cells |= {name: None if row[name] is None else row[name].isoformat() for name in moments}
    cells |= {name: to_plain(row[name]) for name in money}
    return {"id": row["rerate_id"], **cells}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    period = (
        ("unpriced, any time", "")
        if row["only_unpriced"]
        else (short_time_text(row["since"]), short_time_text(row["until"]))
    )
    return (
        *(str(row["rerate_id"]), row["state"], short_time_text(row["created_at"]), *period, row["tenant_id"] or "all"),
        *(str(row["records"]), cost_text(row["before_usd"]), cost_text(row["after_usd"])),
    )
