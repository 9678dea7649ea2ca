"""`callfare alert list|test|report`: receivers, what was delivered to them, and whether one can be reached."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cost_exporter.alerts.reports import facts_now
from cost_exporter.alerts.sending import Outgoing, require_extra, send
from cost_exporter.cli.database import open_connection, open_reader
from cost_exporter.cli.options import AsJson, OnlyTenant
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.domain.money import to_plain
from cost_exporter.errors import CallfareError
from cost_exporter.report.alerts import Message, alert_json, alert_sheet, message_of
from cost_exporter.report.sheet import Sheet
from cost_exporter.safe_text import for_terminal
from cost_exporter.settings import AlertRule, load_config, load_settings

__all__ = ["alerts"]

_COUNT_MAX = 10_000
alerts = typer.Typer(help="Alerts: receivers, and what was delivered to them.", no_args_is_help=True)


@alerts.command(name="list")
def list_alerts(
    *,
    tenant: OnlyTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=_COUNT_MAX, help="How many alerts to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the receivers of the configuration, and the last alerts with what became of them."""
    settings = load_settings()
    rules = load_config(settings.config).alerts
    with open_reader(settings) as reader:
        found = reader.alerts(tenant=tenant, count=limit)
    if as_json:
        receivers = [_rule_json(rule) for rule in rules]
        print_json({"receivers": receivers, "alerts": [alert_json(row) for row in found]})
    else:
        print_sheet(_rules_sheet(rules))
        print_sheet(alert_sheet(found))


@alerts.command()
def test(name: Annotated[str, typer.Argument(metavar="NAME", help="A receiver of the configuration.")]) -> None:
    """Send a test message to a receiver now. Exits 1 where it does not take it."""
    settings = load_settings()
    rules = {rule.name: rule for rule in load_config(settings.config).alerts}
    if name not in rules:
        known = ", ".join(sorted(rules)) or "none; add one to alerts in the file that CALLFARE_CONFIG names"
        raise CallfareError(f"there is no receiver {name!r}; the configuration has {known}")
    require_extra([rules[name]])
    answer = send(rules[name], _test_message(name, settings.pages_at))
    if answer.error:
        raise CallfareError(f"{name} did not take the message: {for_terminal(answer.error)}")
    print_line(f"{name} took the message")


@alerts.command()
def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A report of the configuration.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it, and send nothing.")] = False,
) -> None:
    """Send a report of the last whole period to its receivers now, beside its schedule. Exits 1 where one fails."""
    settings = load_settings()
    config = load_config(settings.config)
    rule = next((each for each in config.reports if each.name == name), None)
    if rule is None:
        known = ", ".join(sorted(each.name for each in config.reports)) or "none; add one to reports"
        raise CallfareError(f"there is no report {name!r}; the configuration has {known}")
    receivers = [each for each in config.alerts if each.name in rule.to]
    require_extra(receivers)
    with open_connection() as connection:
        facts = facts_now(connection, rule, datetime.now(UTC))
    message = message_of("report", facts, page_url=settings.pages_at)
    if dry_run:
        print_line(message.text)
        return
    outgoing = Outgoing(
        message_id=f"report_{uuid.uuid4()}", kind="report", made_at=datetime.now(UTC), facts=facts, message=message
    )
    errors = {each.name: answer.error for each in receivers if (answer := send(each, outgoing)).error}
    if errors:
        texts = "; ".join(f"{receiver}: {for_terminal(error)}" for receiver, error in errors.items())
        raise CallfareError(f"not every receiver took the report: {texts}")
    print_line(f"sent to {', '.join(each.name for each in receivers)}")


def _test_message(name: str, page_url: str) -> Outgoing:
    message = Message(
        title="Test of alerts",
        lines=(f"callfare can reach the receiver {name}.",),
        link=page_url,
    )
    return Outgoing(
        message_id=f"test_{uuid.uuid4()}", kind="test", made_at=datetime.now(UTC), facts={"test": True}, message=message
    )


def _rule_json(rule: AlertRule) -> dict[str, Any]:
    """Return a receiver without its URL, which may be a secret."""
    return {
        "name": rule.name,
        "kind": rule.kind,
        "on": list(rule.on),
        "tenant": rule.tenant,
        "over_usd": None if rule.over_usd is None else to_plain(rule.over_usd),
        "is_signed": rule.secret is not None,
        "allow_private": rule.allow_private,
    }


def _rules_sheet(rules: tuple[AlertRule, ...]) -> Sheet:
    return Sheet(
        title="Receivers",
        columns=("receiver", "kind", "on", "tenant"),
        rows=tuple((rule.name, rule.kind, ", ".join(rule.on), rule.tenant or "all") for rule in rules),
        unbroken=frozenset({"receiver"}),
    )
