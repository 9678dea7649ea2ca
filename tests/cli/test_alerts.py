"""Alerts of the real service: told once each, to receivers that fail at first, and not again after a restart."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.alerts.receiver import Receiver, receiving
from tests.cli.running import run_command
from tests.support.stored import as_url, chat, running_service, send
from tests.support.waiting import wait_until

KINDS = ("webhook", "slack", "discord")
PROMPT = "the patient's secret"


@pytest.fixture
def own_database(database_url: str) -> str:
    """A database of this test's own."""
    return as_url(database_url)


@contextmanager
def three_receivers(folder: Path) -> Iterator[tuple[Path, dict[str, Receiver]]]:
    """A configuration with an hourly budget of 1.00 and a receiver of each kind, which fail twice first."""
    with ExitStack() as stack:
        receivers = {kind: stack.enter_context(receiving()) for kind in KINDS}
        lines = [
            "budgets: [{name: acme-hour, tenant: acme, window: hour, limit_usd: '1.00', soft_percent: 80}]",
            "alerts:",
        ]
        for kind, receiver in receivers.items():
            receiver.answers += [(500, {}), (503, {})]
            lines.append(
                f"  - {{name: {kind}, kind: {kind}, url: '{receiver.url}', on: [budget], allow_private: true}}"
            )
        config = folder / "callfare.yaml"
        config.write_text("\n".join(lines))
        yield config, receivers


@pytest.fixture
def hour_ns() -> int:
    """One hour for all calls of a test. Its spans may come minutes after it has ended."""
    return time.time_ns() // (3_600 * 10**9) * 3_600 * 10**9


def spans(hour_ns: int, number: int, cents: int) -> bytes:
    """A call of gpt-4o-mini that costs so much, with a prompt in it."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai.v1"
    started_at = hour_ns + number
    ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
    span = scope.spans.add(
        name="openai.chat", start_time_unix_nano=started_at, end_time_unix_nano=started_at + 1, **ids
    )
    tokens = cents * 1_000_000 // 15  # at $0.15 a million
    attributes = {**chat("gpt-4o-mini", tokens, 0), "callfare.tenant.id": "acme", "gen_ai.prompt": PROMPT}
    for key, content in attributes.items():
        attribute = span.attributes.add(key=key)
        if isinstance(content, int):
            attribute.value.int_value = content
        else:
            attribute.value.string_value = content
    return request.SerializeToString()


def accepted(receiver: Receiver) -> int:
    return max(0, len(receiver.got) - 2)


def test_an_hourly_budget_alerts_twice_at_each_of_three_receivers_that_fail_first(
    own_database: str, tmp_path: Path, hour_ns: int
) -> None:
    """80 % and 100 %, however many calls come, and nothing again after a restart."""
    with three_receivers(tmp_path) as (config, receivers):
        with running_service(own_database, config=config) as addresses:
            send(addresses["grpc"], spans(hour_ns, 1, 79))
            send(addresses["grpc"], spans(hour_ns, 2, 3))
            wait_until("the first alert everywhere", lambda: all(accepted(each) == 1 for each in receivers.values()))
            send(addresses["grpc"], spans(hour_ns, 3, 30))
            wait_until("the second alert everywhere", lambda: all(accepted(each) == 2 for each in receivers.values()))
            for number in range(4, 8):
                send(addresses["grpc"], spans(hour_ns, number, 10))
            settled(own_database)
        with running_service(own_database, config=config) as addresses:
            send(addresses["grpc"], spans(hour_ns, 8, 10))
            settled(own_database)
        assert [len(each.got) for each in receivers.values()] == [4, 4, 4]
    ids = [headers["webhook-id"] for _, headers, _ in receivers["webhook"].got]
    assert len(set(ids)) == 2
    first = json.loads(receivers["webhook"].got[0][2])
    assert first["type"] == "callfare.budget"
    assert first["data"]["threshold_percent"] == "80"
    for receiver in receivers.values():
        for _, _, body in receiver.got:
            assert b"acme-hour" in body
            assert PROMPT.encode() not in body


def settled(database_url: str) -> None:
    """Return once what was stored is judged and everything is delivered."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        marks, waiting = (
            "select count(*) from callfare.spend_mark",
            ("select count(*) from callfare.alert_delivery where state <> 'delivered'"),
        )
        wait_until("no mark", lambda: connection.execute(marks).fetchone() == (0,))
        wait_until("no delivery", lambda: connection.execute(waiting).fetchone() == (0,))


@pytest.fixture
def callfare(own_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on that database."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", own_database)
    return lambda *arguments: run_command(capsys, *arguments)


def test_a_test_message_says_whether_a_receiver_takes_it(
    callfare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 where it does not, and where there is no such receiver; the URL is not shown."""
    with three_receivers(tmp_path) as (config, receivers):
        monkeypatch.setenv("CALLFARE_CONFIG", str(config))
        refused = callfare("alert", "test", "slack")
        assert (refused.exit_code, refused.err) == (1, "error: slack did not take the message: HTTP 500\n")
        assert callfare("alert", "test", "slack").exit_code == 1
        taken = callfare("alert", "test", "slack")
        assert (taken.exit_code, taken.out) == (0, "slack took the message\n")
        assert b"Test of alerts" in receivers["slack"].got[2][2]
        unknown = callfare("alert", "test", "pager")
        assert unknown.exit_code == 1
        assert "the configuration has discord, slack, webhook" in unknown.err


def test_receivers_and_alerts_are_listed_with_what_became_of_them(
    callfare: Any, own_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hour_ns: int
) -> None:
    """As tables and as JSON."""
    with three_receivers(tmp_path) as (config, _):
        monkeypatch.setenv("CALLFARE_CONFIG", str(config))
        none = callfare("alert", "list", "--json").json
        assert ([each["name"] for each in none["receivers"]], none["alerts"]) == (list(KINDS), [])
        with running_service(own_database, config=config) as addresses:
            send(addresses["grpc"], spans(hour_ns, 1, 85))
            settled_after_alert(own_database)
        found = callfare("alert", "list", "--json").json
        (alert,) = found["alerts"]
        assert alert["title"] == "Budget acme-hour: 80 % reached"
        assert [(each["receiver"], each["state"], each["attempts"]) for each in alert["deliveries"]] == [
            (kind, "delivered", 3) for kind in sorted(KINDS)
        ]
        assert "127.0.0.1" not in json.dumps(found)
        text = callfare("alert", "list").out
        assert "Budget acme-hour" in text
        assert "webhook" in text
        assert callfare("alert", "list", "--tenant", "globex", "--json").json["alerts"] == []


def settled_after_alert(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = "select count(*) from callfare.alert"
        wait_until("an alert", lambda: connection.execute(made).fetchone() == (1,))
    settled(database_url)
