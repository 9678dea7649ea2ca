"""Alerts by the real Apprise, in a process that may connect only where it is allowed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.alerts import sending
from cost_exporter.alerts.apprise_process import send_by_apprise
from cost_exporter.alerts.sending import Outgoing, require_extra, send
from cost_exporter.errors import MissingExtra
from cost_exporter.report.alerts import Message
from cost_exporter.settings import AlertRule
from tests.alerts.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
MESSAGE = Message(title="Budget acme: 80 %", lines=("0.80 of 1 USD",), link="http://page/budgets")
OUTGOING = Outgoing(
    message_id="alert_1", kind="budget", made_at=datetime(2026, 11, 30, tzinfo=UTC), facts={}, message=MESSAGE
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process finds the package, as it does where it is installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def rule(url: str, kind: str = "apprise", *, allow_private: bool = True) -> AlertRule:
    given = {"name": "ops", "kind": kind, "url": url, "on": ("budget",), "allow_private": allow_private}
    return AlertRule.model_validate(given)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def gotify(server: Receiver, host: str = "127.0.0.1") -> str:
    return f"gotify://{host}:{server.server_port}/geheim"


def test_a_message_reaches_a_service_that_apprise_knows(receiver: Receiver) -> None:
    """With its title, its lines and its link."""
    assert send(rule(gotify(receiver)), OUTGOING).error == ""
    ((path, _, body),) = receiver.got
    assert path.startswith("/message")
    sent = json.loads(body)
    assert (sent["title"], sent["message"]) == ("Budget acme: 80 %", "0.80 of 1 USD\nhttp://page/budgets")


def test_what_is_refused_is_an_error_without_the_url(receiver: Receiver) -> None:
    """Which may hold a secret."""
    receiver.answers.append((500, {}))
    error = send(rule(gotify(receiver)), OUTGOING).error
    assert error.startswith("Apprise could not deliver it")
    assert "geheim" not in error


def test_a_private_address_is_refused_by_http_and_by_smtp(receiver: Receiver) -> None:
    """Whatever the name is that leads there; nothing connects."""
    mail = f"mailto://me:geheim@example.com:{receiver.server_port}?to=you@example.com&smtp=127.0.0.1"
    for url, kind in ((gotify(receiver, "localhost"), "apprise"), (mail, "email")):
        error = send(rule(url, kind, allow_private=False), OUTGOING).error
        assert error.startswith("PrivateAddress: "), (kind, error)
        assert "geheim" not in error
    assert receiver.got == []


TRIES = """
import socket
from cost_exporter.alerts.apprise_process import _guard_connections

_guard_connections(allows_private=False)
for attempt in (
    lambda: socket.socket().connect(("127.0.0.1", 1)),
    lambda: socket.socket().connect_ex(("127.0.0.1", 1)),
    lambda: socket.create_connection(("localhost", 1)),
    lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x"),
    lambda: socket.socket(socket.AF_INET6).connect(("::1", 1)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 1)),
):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__)
"""


def test_every_way_to_connect_is_checked() -> None:
    """So is the second connection of a request that was redirected."""
    done = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == ["PrivateAddress"] * 6


def test_what_hangs_is_killed() -> None:
    """It is sent again later, by another process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"gotify://127.0.0.1:{silent.getsockname()[1]}/token"
        assert send_by_apprise(rule(url), "title", "body", timeout_seconds=0.5) == "no answer within 0.5 s"


def test_a_receiver_of_an_extra_that_is_missing_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a message that never comes."""

    def nothing(_: str) -> Any:
        return None

    monkeypatch.setattr(sending, "find_spec", nothing)
    with pytest.raises(MissingExtra, match="receiver 'ops' of kind apprise"):
        require_extra([rule("gotify://example.com/token")])
    webhook = {"name": "ops", "kind": "slack", "url": "https://hooks.example", "on": ("budget",)}
    require_extra([AlertRule.model_validate(webhook)])
