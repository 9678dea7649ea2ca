"""`callfare unread` and `callfare doctor` on what was not understood."""

import json
import time
from typing import Any

import pytest

from cost_exporter.domain.quote import Quote
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.cli.running import run_command
from tests.domain.builders import T0_UNIX_NS, call
from tests.store.requests import request
from tests.support.stored import as_url

ISSUES = ("unread_usage: gen_ai.usage.cached_foo_tokens = 4480", "unread_usage: gen_ai.usage.foo (redacted)")


@pytest.fixture
def unread(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a database in which two records have unread usage and one looks like a call."""
    ledger = LedgerStore(database_url)
    now_ms = (time.time_ns() - T0_UNIX_NS) // 1_000_000
    when = {"start_ms": now_ms - 1000, "end_ms": now_ms}
    calls = [
        call("1", scope="foo.sdk", quantities={"input_tokens": 1}, issues=ISSUES, **when),
        call("2", scope="foo.sdk", quantities={"output_tokens": 9}, issues=ISSUES[:1], **when),
        call("3", scope="foo.agent", quantities={}, issues=("looks_like_a_call: gen_ai.request.model",), **when),
        call("4", scope="known", quantities={"input_tokens": 5}, **when),
    ]
    ledger.commit([request(*calls)], lambda _: Quote(amount_usd=None, status="no_usage"))
    ledger.close()
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))

    def run(*arguments: str) -> Any:
        return run_command(capsys, *arguments)

    return run


def test_it_lists_scopes_and_attributes(unread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most frequent first, with counts; nothing that was read."""
    monkeypatch.delenv("COLUMNS", raising=False)
    found = json.loads(unread("unread", "--json").out)["unread"]
    assert [(row["scope"], row["kind"], row["attributes"], row["record_count"]) for row in found] == [
        ("foo.sdk", "unread_usage", "gen_ai.usage.cached_foo_tokens", 2),
        ("foo.agent", "looks_like_a_call", "gen_ai.request.model", 1),
        ("foo.sdk", "unread_usage", "gen_ai.usage.foo (redacted)", 1),
    ]
    assert "cached_foo_tokens" in unread("unread").out
    assert unread("unread", "--since", "2026-01-01", "--until", "2026-01-02").out.startswith("All attributes")


def test_doctor_counts_them(unread: Any) -> None:
    """Of the last week."""
    assert "3 records of the last 7 days" in " ".join(unread("doctor").out.split())
