"""`callfare reconcile`: our figures beside the provider's own, by day and model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson, Month, OnlyTenant, Since, Until, Wide, period_of
from cost_exporter.cli.output import Form, print_json, print_sheet
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.invoices.compare import Finding, Ours, compare
from cost_exporter.invoices.fetch import FETCHABLE, fetch_pages
from cost_exporter.invoices.files import Statement, read_statement, statement_of_pages
from cost_exporter.invoices.stated import Stated
from cost_exporter.report.amounts import cost_text
from cost_exporter.report.forms import Sheet
from cost_exporter.store.comparisons import keep_comparison
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.exports import RECONCILED_UNITS, usage_by_day
from cost_exporter.store.reading import Period, Reader

__all__ = ["register"]

_EXIT_FOUND_WRONG: Final = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The provider's usage or costs: JSON as its API, or CSV.")
    ] = None,
    *,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Ask its API: {', '.join(FETCHABLE)}. With FILE: whose it is.")
    ] = None,
    since: Since = None,
    until: Until = None,
    month: Month = None,
    tenant: OnlyTenant = None,
    named: Annotated[
        list[str] | None, typer.Option("--map", metavar="NAME=MODEL", help="Which model a SKU is; again for more.")
    ] = None,
    api_url: Annotated[
        str | None, typer.Option("--api-url", metavar="URL", help="The address of the API, where it is another one.")
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="table, markdown, csv, html (a page of its own) or json.")
    ] = Form.TABLE,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the result, for the page /reconciled.")] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Compare our figures with the provider's own, by day and model. Exits 1 where they do not match.

    Without a period, a file is compared over the days that it has.
    """
    if form in {Form.XLSX, Form.FOCUS}:
        raise typer.BadParameter(f"--format {form.value} is not for a comparison; write table, markdown, csv or html")
    has_period = not (since is None and until is None and month is None)
    period = period_of(since, until, month) if has_period else None
    if file is not None and api_url is not None:
        raise typer.BadParameter("--api-url is for --provider without a file")
    if file is not None:
        statement = read_statement(file, _models_of(named or []))
        period = period or _days_of(statement.stated, file)
    else:
        period = _whole_days(period or period_of(None, None, None))
        statement = _asked(provider, period, api_url)
    whose = canonical_provider(provider) if provider else statement.provider
    if not whose:
        raise typer.BadParameter("the file does not say whose it is; add --provider NAME")
    stated = [each for each in statement.stated if period.since.date() <= each.day < period.until.date()]
    with open_database() as url, connect(url) as connection:
        check_schema(connection)
        with Reader.connect(url) as reader:
            ours = [_ours(row) for row in usage_by_day(reader, whose, period, tenant)]
        findings = compare(ours, stated)
        if keep:
            keep_comparison(connection, _as_json(whose, period, findings), tenant)
    if as_json or form is Form.JSON:
        print_json(_as_json(whose, period, findings))
    else:
        print_sheet(_sheet(whose, period, findings), form, is_wide=wide)
    if any(each.outcome != "matched" for each in findings):
        raise typer.Exit(_EXIT_FOUND_WRONG)


def _asked(provider: str | None, period: Period, api_url: str | None) -> Statement:
    if provider is None:
        raise typer.BadParameter("name a FILE of the provider, or --provider NAME to ask its API")
    if provider not in FETCHABLE:
        raise typer.BadParameter(f"--provider {provider!r} has no API here; export a file, or: {', '.join(FETCHABLE)}")
    if api_url is not None and not api_url.startswith(("https://", "http://")):
        raise typer.BadParameter(f"--api-url {api_url!r} is no URL; write https://host")
    base = None if api_url is None else api_url.rstrip("/")
    return statement_of_pages(fetch_pages(provider, period.since, period.until, base))


def _models_of(named: Sequence[str]) -> dict[str, str]:
    models: dict[str, str] = {}
    for each in named:
        sku, equals, model = each.rpartition("=")
        if not (sku and equals and model):
            raise typer.BadParameter(f"--map {each!r} is not NAME=MODEL")
        models[sku] = model
    return models


def _days_of(stated: Sequence[Stated], file: Path) -> Period:
    """Return the days from the first to the last one of a file."""
    days = [each.day for each in stated]
    if not days:
        raise typer.BadParameter(f"{file.name} has no figures; name the period that it is for: --month YYYY-MM")
    return Period(since=_midnight(min(days)), until=_midnight(max(days) + timedelta(days=1)))


def _whole_days(period: Period) -> Period:
    """Return the whole days around a period: providers state days."""
    return Period(since=_midnight(period.since.date()), until=_midnight(period.until.date()))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def _ours(row: Mapping[str, Any]) -> Ours:
    return Ours(
        day=row["day"],
        model=row["model"],
        operation=row["operation"],
        request_count=row["request_count"],
        unpriced_count=row["unpriced_count"],
        cost_usd=row["cost_usd"],
        quantities={unit: row[unit] for unit in RECONCILED_UNITS},
    )


def _as_json(provider: str, period: Period, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "provider": provider,
        "since": period.since.date().isoformat(),
        "until": period.until.date().isoformat(),
        "outcomes": dict(sorted(Counter(each.outcome for each in findings).items())),
        "findings": [each.as_json() for each in findings],
    }


def _sheet(provider: str, period: Period, findings: Sequence[Finding]) -> Sheet:
    outcomes = Counter(each.outcome for each in findings)
    return Sheet(
        title=f"{provider} from {period.since:%Y-%m-%d} until {period.until:%Y-%m-%d} (UTC, exclusive)",
        columns=("day", "model", "outcome", "ours", "theirs", "usage: ours / theirs", "probable cause"),
        rows=tuple(_cells(each) for each in findings),
        right_aligned=frozenset({"ours", "theirs"}),
        total=", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "nothing to compare",
    )


def _cells(each: Finding) -> tuple[str, ...]:
    usage = ", ".join(
        f"{_number(ours)} / {_number(theirs)} {unit}"
        for unit, (ours, theirs) in each.quantities.items()
        if ours or theirs
    )
    figures = cost_text(each.our_cost_usd), cost_text(each.their_cost_usd)
    return (each.day.isoformat(), each.name, each.outcome, *figures, usage, each.cause)


def _number(number: Decimal) -> str:
    return to_plain(number)
