"""What an alert says: what, how much, of what limit, since when, who spends most, and where to look.

Facts are figures and names; names come from the senders of spans, so they are made safe for where they are shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from cost_exporter.report.amounts import jsonable, time_text
from cost_exporter.report.scheduled import period_title
from cost_exporter.report.sheet import Sheet
from cost_exporter.safe_text import for_terminal

__all__ = ["Message", "alert_json", "alert_sheet", "deliveries_text", "message_of"]

Facts = Mapping[str, Any]
_NAME_LENGTH_MAX: Final = 200
_KIND_LABELS: Final = {"api_key": "key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, in plain text."""

    title: str
    lines: tuple[str, ...]
    link: str
    block: str = ""
    """A table as text, which is shown as it is."""

    @property
    def text(self) -> str:
        """Return all of it."""
        block = ["", self.block.rstrip("\n"), ""] if self.block else []
        return "\n".join([self.title, *self.lines, *block, self.link])


def message_of(kind: str, facts: Facts, *, page_url: str) -> Message:
    """Return what is sent of an alert."""
    title, lines, path = _MESSAGES[kind](facts)
    shown = tuple(each for each in lines if each)
    return Message(title=title, lines=shown, link=f"{page_url}{path}", block=facts.get("content", ""))


def alert_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert as the command line shows it to programs."""
    return {
        "alert_id": row["alert_id"],
        "kind": row["kind"],
        "tenant_id": row["tenant_id"] or None,
        "made_at": jsonable(row["made_at"]),
        "title": message_of(row["kind"], row["facts"], page_url="").title,
        "facts": row["facts"],
        "deliveries": row["deliveries"],
    }


def alert_sheet(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    """Return the last alerts as a table."""
    return Sheet(
        title="Alerts, the latest first",
        columns=("made_at", "tenant", "alert", "delivered"),
        rows=tuple(
            (
                time_text(row["made_at"]),
                row["tenant_id"] or "-",
                message_of(row["kind"], row["facts"], page_url="").title,
                deliveries_text(row["deliveries"]),
            )
            for row in rows
        ),
    )


def deliveries_text(deliveries: Sequence[Mapping[str, Any]]) -> str:
    """Return what became of an alert at each of its receivers."""
    return ", ".join(f"{each['receiver']}: {_delivery(each)}" for each in deliveries)


def _delivery(delivery: Mapping[str, Any]) -> str:
    attempts = delivery["attempts"]
    if delivery["state"] == "delivered":
        return "yes" if attempts == 1 else f"yes, at attempt {attempts}"
    if delivery["state"] == "given_up":
        return f"dropped after {attempts} attempts ({delivery['last_error']})"
    return f"waits, {attempts} failed ({delivery['last_error']})" if delivery["last_error"] else "waits"


def _budget(facts: Facts) -> tuple[str, list[str], str]:
    ended = "" if facts["resets_at"] is None else f"; the window ends {_moment(facts['resets_at'])}"
    since = "in all" if facts["window"] == "total" else f"since {_moment(facts['window_start'])}"
    calls = [f"{label} {_name(facts[key])}" for key, label in _DIMENSIONS if facts.get(key) is not None]
    return (
        f"Budget {_name(facts['budget'])}: {facts['threshold_percent']} % reached",
        [
            f"{_name(facts['tenant'])} spent {_spent(facts)} {since}{ended}.",
            f"Only calls of {', '.join(calls)}." if calls else "",
            _refusing(facts),
            _unknown(facts),
            _most(facts),
        ],
        "/budgets",
    )


_DIMENSIONS: Final = (
    ("api_key_id", "key"),
    ("user_id", "user"),
    ("category", "category"),
    ("provider", "provider"),
    ("model", "model"),
)


def _spent(facts: Facts) -> str:
    return f"{_bound(facts)}{facts['spent_usd']} of {facts['limit_usd']} USD"


def _refusing(facts: Facts) -> str:
    if facts["hard"] is True:
        return "Calls that do not fit are refused where applications ask this budget."
    return "It refuses nothing." if facts["hard"] is False else "It refuses nothing, and counts what it would refuse."


def _most(facts: Facts) -> str:
    most = [
        f"{_KIND_LABELS.get(each['kind'], each['kind'])} {_name(each['name'])} {each['cost_usd']} USD"
        for each in facts["most_by"]
    ]
    return f"Most by {', '.join(most)}." if most else ""


def _unpriced(facts: Facts) -> tuple[str, list[str], str]:
    model = f"{_name(facts['model']) or 'a model without a name'} of {_name(facts['provider']) or 'no provider'}"
    return (
        f"No price for {model}",
        [
            f"{_name(facts['tenant'])}, on {facts['day']} (UTC): {facts['unpriced_count']} calls of unknown cost.",
            "Put a price into a file of CALLFARE_PRICES; these calls are priced as soon as it is loaded.",
        ],
        "/unpriced",
    )


def _workflow_over(facts: Facts) -> tuple[str, list[str], str]:
    name = _name(facts["workflow_name"] or facts["workflow_id"] or facts["trace_id"])
    since = "" if facts["started_at"] is None else f" since {_moment(facts['started_at'])}"
    return (
        f"Workflow {name} cost more than {facts['over_usd']} USD",
        [f"{_name(facts['tenant'])} spent {_bound(facts)}{facts['cost_usd']} USD on it{since}.", _unknown(facts)],
        f"/workflows/{quote(facts['trace_id'])}",
    )


def _spike(facts: Facts) -> tuple[str, list[str], str]:
    before = ", ".join(facts["same_hour_before_usd"])
    return (
        f"Spend of {_name(facts['tenant'])} is unusual",
        [
            f"{facts['spent_usd']} USD in the hour from {_moment(facts['hour'])}.",
            f"The same hour of the days before, the latest first: {before} USD.",
        ],
        "/spend",
    )


def _silence(facts: Facts) -> tuple[str, list[str], str]:
    return (
        f"Nothing comes from service {_name(facts['service'])}",
        [
            f"{_name(facts['tenant'])}'s service sent calls until {_moment(facts['last_seen_at'])}, and none since.",
            "Does it run, and does its exporter reach callfare?",
        ],
        "/",
    )


def _prices_old(facts: Facts) -> tuple[str, list[str], str]:
    return (
        f"Prices are {facts['age_days']} days old",
        [f"They were last checked on {facts['checked_on']}. Upgrade callfare, or load newer prices."],
        "/prices",
    )


def _integrity(facts: Facts) -> tuple[str, list[str], str]:
    return (
        "The ledger and its sums disagree",
        [
            f"{facts['mismatch_count']} sums differed from their records at the last check.",
            "`callfare verify` names them; do not bill from sums until they agree.",
        ],
        "/",
    )


def _report(facts: Facts) -> tuple[str, list[str], str]:
    since = datetime.fromisoformat(facts["since"])
    whose = "" if facts["tenant"] is None else f" of {_name(facts['tenant'])}"
    return (
        f"Report {_name(facts['report'])}: spend{whose} in {period_title(facts['every'], since)}",
        [f"{_bound(facts)}{facts['total_cost_usd']} USD in all (UTC).", _unknown(facts)],
        "/spend",
    )


def _kafka_lag(facts: Facts) -> tuple[str, list[str], str]:
    topic = _name(str(facts["topic"]))
    return (
        f"{facts['lag']:,} messages wait in Kafka",
        [
            f"Topic {topic} had more than {facts['lag_messages']:,} that `callfare consume` had not read yet.",
            "Costs are late until they are read. Start another consumer, or see whether one has stopped.",
        ],
        "/",
    )


def _too_old(facts: Facts) -> tuple[str, list[str], str]:
    return (
        "Spans came too late to be billed",
        [
            f"{facts['too_old_count']} spans of {facts['day']} are of months whose records were dropped.",
            "Nobody is billed for them; `callfare deadletter list` names them.",
            "Drop months only when no queue or spool can send their spans again.",
        ],
        "/",
    )


_MESSAGES: Final[Mapping[str, Callable[[Facts], tuple[str, list[str], str]]]] = {
    "budget": _budget,
    "unpriced": _unpriced,
    "workflow_over": _workflow_over,
    "spike": _spike,
    "silence": _silence,
    "prices_old": _prices_old,
    "integrity": _integrity,
    "too_old": _too_old,
    "report": _report,
    "kafka_lag": _kafka_lag,
}


def _bound(facts: Facts) -> str:
    return "at least " if facts["unpriced_count"] else ""


def _unknown(facts: Facts) -> str:
    count = facts["unpriced_count"]
    return f"The cost of {count} calls is not known, or only in part." if count else ""


def _name(text: str) -> str:
    return for_terminal(text[:_NAME_LENGTH_MAX])


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
