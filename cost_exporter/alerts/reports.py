"""Reports of the configuration: which of them are due, and what they hold."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from cost_exporter.domain.alerting import last_period
from cost_exporter.report.scheduled import report_facts
from cost_exporter.report.spend import COLUMN_BY_DIMENSION, spend_of
from cost_exporter.settings import ReportRule
from cost_exporter.store.alerts.making import Connection
from cost_exporter.store.alerts.reporting import DueReport, make_report, spend_rows
from cost_exporter.store.spending import Period

__all__ = ["facts_now", "make_due_reports"]


def make_due_reports(connection: Connection, rules: Iterable[ReportRule], now: datetime) -> int:
    """Make the reports of the last periods that are over, each once, and return how many that were."""
    made = 0
    for rule in rules:
        due = _due(rule, now)
        made += make_report(connection, due, partial(_facts, rule, due))
    return made


def facts_now(connection: Connection, rule: ReportRule, now: datetime) -> dict[str, Any]:
    """Return the report of the last period that is over, as it would be made now."""
    due = _due(rule, now)
    return _facts(rule, due, spend_rows(connection, due))


def _due(rule: ReportRule, now: datetime) -> DueReport:
    since, until = last_period(rule.every, now)
    return DueReport(
        name=rule.name,
        period=Period(since=since, until=until),
        columns=tuple(dict.fromkeys(COLUMN_BY_DIMENSION[name] for name in rule.group_by)),
        receivers=rule.to,
        tenant=rule.tenant,
    )


def _facts(rule: ReportRule, due: DueReport, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    spend = spend_of(rows, since=due.period.since, until=due.period.until, columns=due.columns)
    return report_facts(spend, name=rule.name, every=rule.every, form=rule.format, tenant=rule.tenant)
