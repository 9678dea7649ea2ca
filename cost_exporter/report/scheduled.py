"""A report that is sent: the spend of one period as text, and what of it a message holds.

Its groups add up to its total. Where there are more groups than a message may have, the last line is the sum of the
rest.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from cost_exporter.domain.money import to_plain, total
from cost_exporter.report.forms import csv_form, markdown_form
from cost_exporter.report.spend import Spend, SpendGroup

__all__ = ["period_title", "report_facts"]

_GROUPS_MAX: Final = 200


def report_facts(spend: Spend, *, name: str, every: str, form: str, tenant: str | None) -> dict[str, Any]:
    """Return the facts of a report that is due, its text among them."""
    shown = with_rest_as_one(spend.ordered("cost", _GROUPS_MAX))
    return {
        "report": name,
        "every": every,
        "since": spend.since.isoformat(),
        "until": spend.until.isoformat(),
        "tenant": tenant,
        "total_cost_usd": to_plain(spend.total_cost_usd),
        "unpriced_count": spend.unpriced_count,
        "format": form,
        "content": csv_form(shown.rows()) if form == "csv" else markdown_form(shown.table()),
    }


def period_title(every: str, since: datetime) -> str:
    """Return how a period is named in a title."""
    if every == "month":
        return f"{since:%Y-%m}"
    return f"the week from {since:%Y-%m-%d}" if every == "week" else f"{since:%Y-%m-%d}"


def with_rest_as_one(spend: Spend) -> Spend:
    """Return the report with its omitted groups as one last group, so that what is listed adds up."""
    if not spend.omitted:
        return spend
    rest = _sum(spend.omitted, (f"{len(spend.omitted)} more groups", *[""] * (len(spend.columns) - 1)))
    return replace(spend, groups=(*spend.groups, rest), omitted=())


def _sum(groups: Sequence[SpendGroup], keys: tuple[str, ...]) -> SpendGroup:
    known = [group.cost_usd for group in groups if group.cost_usd is not None]
    return SpendGroup(
        keys=keys,
        cost_usd=total(known) if known else None,
        unpriced_count=sum(group.unpriced_count for group in groups),
        request_count=sum(group.request_count for group in groups),
        total_tokens=sum(group.total_tokens for group in groups),
        audio_seconds=total(group.audio_seconds for group in groups),
        call_seconds=total(group.call_seconds for group in groups),
        characters=sum(group.characters for group in groups),
    )
