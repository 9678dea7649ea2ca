"""What messages say: figures to the digit, names made safe, links that lead somewhere."""

from typing import Any

import pytest

from cost_exporter.domain.alerting import ALERT_KINDS
from cost_exporter.report.alerts import message_of

BUDGET: dict[str, Any] = {
    "budget": "acme-hour",
    "tenant": "acme",
    "api_key_id": None,
    "user_id": None,
    "category": None,
    "provider": None,
    "model": None,
    "window": "hour",
    "window_start": "2026-11-30T08:00:00+00:00",
    "resets_at": "2026-11-30T09:00:00+00:00",
    "threshold_percent": "80",
    "limit_usd": "1",
    "spent_usd": "0.812345678901",
    "reserved_usd": "0",
    "unpriced_count": 0,
    "hard": True,
    "most_by": [
        {"kind": "user", "name": "ann", "cost_usd": "0.5"},
        {"kind": "api_key", "name": "k1", "cost_usd": "0.3"},
    ],
}
FACTS: dict[str, dict[str, Any]] = {
    "budget": BUDGET,
    "unpriced": {"tenant": "acme", "provider": "openai", "model": "gpt-9", "day": "2026-11-30", "unpriced_count": 3},
    "workflow_over": {
        "tenant": "acme",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "workflow_id": None,
        "workflow_name": "support-call",
        "started_at": "2026-11-30T08:00:00+00:00",
        "cost_usd": "0.75",
        "over_usd": "0.5",
        "unpriced_count": 2,
    },
    "spike": {
        "tenant": "acme",
        "hour": "2026-11-30T08:00:00+00:00",
        "spent_usd": "9",
        "same_hour_before_usd": ["1", "1.1", "1", "0.9"],
    },
    "silence": {"tenant": "acme", "service": "bot", "last_seen_at": "2026-11-30T08:00:00+00:00", "silence_minutes": 60},
    "prices_old": {"checked_on": "2026-10-01", "age_days": 60, "prices_old_days": 30},
    "kafka_lag": {"topic": "spans", "lag": 12345, "lag_messages": 10_000},
    "integrity": {"mismatch_count": 4, "day": "2026-11-30"},
    "too_old": {"too_old_count": 7, "day": "2026-11-30"},
}


def test_a_budget_says_how_much_of_what_since_when_and_who() -> None:
    """Not rounded: the figure is the ledger's."""
    assert message_of("budget", BUDGET, page_url="https://spend.example").text == (
        "Budget acme-hour: 80 % reached\n"
        "acme spent 0.812345678901 of 1 USD since 2026-11-30 08:00 UTC; the window ends 2026-11-30 09:00 UTC.\n"
        "Calls that do not fit are refused where applications ask this budget.\n"
        "Most by user ann 0.5 USD, key k1 0.3 USD.\n"
        "https://spend.example/budgets"
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"window": "total", "resets_at": None}, "acme spent 0.812345678901 of 1 USD in all."),
        ({"unpriced_count": 2}, "spent at least 0.812345678901 of 1 USD"),
        ({"unpriced_count": 2}, "The cost of 2 calls is not known, or only in part."),
        ({"hard": False}, "It refuses nothing."),
        ({"hard": "shadow"}, "It refuses nothing, and counts what it would refuse."),
        ({"category": "bot", "model": "gpt-4o*"}, "Only calls of category bot, model gpt-4o*."),
    ],
)
def test_a_budget_says_what_it_does_and_what_is_unknown(changed: dict[str, Any], words: str) -> None:
    """An unknown cost makes a figure a lower bound."""
    assert words in message_of("budget", BUDGET | changed, page_url="").text


@pytest.mark.parametrize(
    ("kind", "words", "path"),
    [
        ("unpriced", "No price for gpt-9 of openai\nacme, on 2026-11-30 (UTC): 3 calls of unknown cost.", "/unpriced"),
        (
            "workflow_over",
            "more than 0.5 USD\nacme spent at least 0.75 USD on it since 2026-11-30 08:00 UTC.",
            "/workflows/0af7651916cd43dd8448eb211c80319c",
        ),
        ("spike", "9 USD in the hour from 2026-11-30 08:00 UTC.", "/spend"),
        ("silence", "Nothing comes from service bot\nacme's service sent calls until 2026-11-30 08:00 UTC", "/"),
        ("prices_old", "Prices are 60 days old\nThey were last checked on 2026-10-01.", "/prices"),
        ("too_old", "too late to be billed\n7 spans of 2026-11-30 are of months whose records were dropped", "/"),
        ("integrity", "The ledger and its sums disagree\n4 sums differed", "/"),
        ("kafka_lag", "12,345 messages wait in Kafka\nTopic spans had more than 10,000 that `callfare consume`", "/"),
    ],
)
def test_each_kind_says_what_to_do_and_where(kind: str, words: str, path: str) -> None:
    """In plain text."""
    message = message_of(kind, FACTS[kind], page_url="https://spend.example")
    assert words in message.text
    assert message.link == f"https://spend.example{path}"


def test_every_kind_has_a_message() -> None:
    """None can be made that cannot be sent."""
    assert set(FACTS) == set(ALERT_KINDS)


def test_names_of_senders_cannot_forge_a_line() -> None:
    """Nor be endless, nor missing."""
    facts = {"tenant": "a\ncme", "provider": "", "model": "x" * 5000, "day": "2026-11-30", "unpriced_count": 1}
    message = message_of("unpriced", facts, page_url="")
    assert "a\\ncme" in message.text
    assert len(message.title) < 300
    assert "no provider" in message.title
    nameless = message_of("unpriced", facts | {"model": ""}, page_url="")
    assert nameless.title == "No price for a model without a name of no provider"
