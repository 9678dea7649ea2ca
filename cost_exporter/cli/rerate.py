"""`callfare rerate`: price history again by the book in force now. Looks first; writes only when told to."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson, OnlyTenant, period_of
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.domain.money import to_plain
from cost_exporter.report.amounts import cost_text
from cost_exporter.report.forms import Sheet
from cost_exporter.settings import load_settings
from cost_exporter.store.price_books import current_book
from cost_exporter.store.rerate import Period, RerateTotals, apply_rerate, preview_rerate, resume_rerate, undo_rerate

__all__ = ["register"]

Since = Annotated[str | None, typer.Option(metavar="DATE", help="First day or instant, UTC; must be given.")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="End, exclusive, UTC; must be given.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change. This is the default.")]
Apply = Annotated[bool, typer.Option("--apply", help="Write the new prices; every replaced quote is kept.")]
Undo = Annotated[int | None, typer.Option("--undo", metavar="ID", help="Put back what a re-rating replaced.")]
Resume = Annotated[int | None, typer.Option("--resume", metavar="ID", help="Go on with an interrupted one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rerate)


def rerate(
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
    if sum((dry_run, apply, undo is not None, resume is not None)) > 1:
        raise typer.BadParameter("choose one of --dry-run, --apply, --undo ID and --resume ID")
    is_by_id = undo is not None or resume is not None
    if (since is None or until is None) and not is_by_id:
        raise typer.BadParameter("say which period: --since DATE --until DATE (exclusive)")
    if is_by_id and (since, until, tenant) != (None, None, None):
        raise typer.BadParameter("a re-rating's id stands for its period and tenant; leave out the other options")
    with open_database() as url:
        totals = _last(_steps(url, since, until, tenant, undo=undo, resume=resume, is_applied=apply))
    _print(totals, as_json=as_json)


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
        book = current_book(connection, load_settings().prices)
    if undo is not None:
        return undo_rerate(url, undo, book.price_of_call)
    if resume is not None:
        return resume_rerate(url, resume, book.price_of_call)
    asked = period_of(since, until)
    period = Period(since=asked.since, until=asked.until, tenant=tenant)
    if is_applied:
        return apply_rerate(url, period, book.price_of_call, book.version)
    return preview_rerate(url, period, book.price_of_call)


def _last(steps: Iterator[RerateTotals]) -> RerateTotals:
    totals = RerateTotals()
    for totals in steps:  # noqa: B007 - each step's totals hold those before
        pass
    return totals


def _print(totals: RerateTotals, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "id": totals.rerate_id,
                "records": totals.records,
                "before_usd": to_plain(totals.before_usd),
                "after_usd": to_plain(totals.after_usd),
                "by_model": _sums_json(totals.by_model),
                "by_tenant": _sums_json(totals.by_tenant),
            }
        )
        return
    rows = [(name, *_change(*sums)) for name, sums in sorted(totals.by_model.items())]
    change = _change(totals.before_usd, totals.after_usd)
    print_sheet(
        Sheet(
            title="What changes" if totals.rerate_id is None else f"Re-rating {totals.rerate_id}",
            columns=("model", "before", "after", "difference"),
            rows=tuple(rows),
            right_aligned=frozenset({"before", "after", "difference"}),
            total=f"{totals.records} records: {change[0]} → {change[1]} ({change[2]})",
        )
    )
    if totals.rerate_id is None and totals.records:
        print_line("Nothing was written. Say --apply to write it.")


def _change(before_usd: Decimal, after_usd: Decimal) -> tuple[str, str, str]:
    return cost_text(before_usd), cost_text(after_usd), cost_text(after_usd - before_usd)


def _sums_json(sums: dict[str, tuple[Decimal, Decimal]]) -> dict[str, dict[str, str]]:
    return {
        name: {"before_usd": to_plain(before), "after_usd": to_plain(after)}
        for name, (before, after) in sorted(sums.items())
    }
