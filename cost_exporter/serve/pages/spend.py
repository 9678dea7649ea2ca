"""What a period cost by one or two dimensions, beside the period before it."""

from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request

from cost_exporter.report.amounts import jsonable
from cost_exporter.report.comparison import ComparedSpend, compared
from cost_exporter.report.spend import COLUMN_BY_DIMENSION, TIME_COLUMNS, Spend, SpendGroup, spend_of
from cost_exporter.serve.access import Access
from cost_exporter.serve.asked import columns_of, period_of, tenant_of
from cost_exporter.serve.pages.figures import at_least, column_places, count, figure, percent
from cost_exporter.serve.pages.render import link
from cost_exporter.serve.web import Web
from cost_exporter.store.reading import Period, Reader

__all__ = ["spend_page"]

_ROWS_MAX: Final = 200
_WORDS: Final = {"api_key": "API key"}
_QUANTITIES: Final = (
    ("request_count", "Calls"),
    ("total_tokens", "Tokens"),
    ("characters", "Characters"),
    ("audio_seconds", "Audio s"),
    ("call_seconds", "Call s"),
    ("unpriced_count", "Unpriced"),
)


def spend_page(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page."""
    asked = {name: request.query_params.get(name, "") for name in ("start_date", "end_date", "tenant", "by", "then")}
    asked["by"] = asked["by"] or ("model" if access.tenant else "tenant")
    period = period_of(asked["start_date"], asked["end_date"], web.today())
    only = tenant_of(access, asked["tenant"])
    columns = columns_of(",".join(name for name in (asked["by"], asked["then"]) if name))
    before = _before(period)
    with web.lend(access.tenants) as reader:
        now = _spend(reader, period, columns, only)
        then = _spend(reader, before, columns, only)
    # Groups that are named by a time are not those of the period before: they are not compared one by one.
    is_by_time = not TIME_COLUMNS.isdisjoint(columns)
    report = compared(now, _without_groups(then) if is_by_time else then)
    ordered = report.groups if is_by_time else report.ordered("cost", None).groups
    shown = ordered[:_ROWS_MAX]
    asked |= {"start_date": f"{period.since:%Y-%m-%d}", "end_date": f"{period.until:%Y-%m-%d}"}
    exported = {"start_date": asked["start_date"], "end_date": asked["end_date"], "tenant": asked["tenant"]}
    exported["group_by"] = ",".join(name for name in (asked["by"], asked["then"]) if name)
    return {
        "asked": asked,
        "has_tenants": access.tenant is None,
        "dimensions": [(name, _WORDS.get(name, name)) for name in COLUMN_BY_DIMENSION],
        "columns": [_WORDS.get(name, name).capitalize() for name in exported["group_by"].split(",")],
        "total": at_least(now.total_cost_usd, now.unpriced_count),
        "unpriced_count": now.unpriced_count,
        "previous_total": at_least(then.total_cost_usd, then.unpriced_count),
        "change": _total_change(now, then),
        "before": f"{before.since:%Y-%m-%d} to {before.until:%Y-%m-%d}",
        "is_by_time": is_by_time,
        "quantities": [(name, words) for name, words in _QUANTITIES if any(getattr(group, name) for group in shown)],
        "rows": _rows(report, shown, now.total_cost_usd, is_by_time=is_by_time),
        "more": len(ordered) - len(shown),
        "exports": [(form, link("/v1/costs", exported, format=form)) for form in ("csv", "ndjson", "json")],
        "this_month": link("/spend", asked, start_date=web.today().replace(day=1).isoformat(), end_date=""),
    }


def _before(period: Period) -> Period:
    try:
        return Period(since=period.since - (period.until - period.since), until=period.since)
    except OverflowError:
        return Period(since=period.since, until=period.since)


def _spend(reader: Reader, period: Period, columns: tuple[str, ...], tenant: str | None) -> Spend:
    return spend_of(reader.spend(period, columns, tenant), since=period.since, until=period.until, columns=columns)


def _without_groups(spend: Spend) -> Spend:
    return Spend(since=spend.since, until=spend.until, columns=spend.columns, groups=(), omitted=spend.groups)


def _rows(
    report: ComparedSpend, shown: tuple[SpendGroup, ...], total_cost_usd: Decimal, *, is_by_time: bool
) -> list[dict[str, Any]]:
    before = {group.keys: group for group in report.previous.groups}
    places = column_places([*(group.cost_usd for group in shown), *(group.cost_usd for group in before.values())])
    most = max((group.cost_usd or Decimal(0) for group in shown), default=Decimal(0))
    rows: list[dict[str, Any]] = []
    for group in shown:
        then = before.get(group.keys)
        rows.append(
            {
                "keys": [_key(key) for key in group.keys],
                "cost": at_least(group.cost_usd, group.unpriced_count, places),
                "share": percent(group.cost_usd or Decimal(0), total_cost_usd),
                "bar": int(1000 * (group.cost_usd or Decimal(0)) / most) if most else 0,
                "previous": "" if is_by_time or then is None else at_least(then.cost_usd, then.unpriced_count, places),
                "change": "" if is_by_time else _change(group, then, places),
                "quantities": {name: count(getattr(group, name)) for name, _ in _QUANTITIES},
            }
        )
    return rows


def _key(key: Any) -> str:
    text = str(jsonable(key)) if key is not None else ""
    return text or "(none)"


def _change(now: SpendGroup, then: SpendGroup | None, places: int) -> Any:
    """Return by how much a group changed; nothing where either cost is not wholly known."""
    if now.cost_is_lower_bound or (then is not None and then.cost_is_lower_bound) or now.cost_usd is None:
        return ""
    before = Decimal(0) if then is None or then.cost_usd is None else then.cost_usd
    change = now.cost_usd - before
    return ("+" if change > 0 else "") + figure(change, places) if change else ""


def _total_change(now: Spend, then: Spend) -> str:
    if now.unpriced_count or then.unpriced_count or not then.total_cost_usd:
        return ""
    share = percent(now.total_cost_usd - then.total_cost_usd, then.total_cost_usd)
    return share if share.startswith("-") else f"+{share}"
