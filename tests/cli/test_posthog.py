"""The service and PostHog: events of what it received, and settings that name what is missing."""

import time
from contextlib import nullcontext
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.cli import demo
from cost_exporter.settings import Settings
from tests.cli.running import run_command
from tests.forward.posthog import KEY, running
from tests.support.stored import as_url, filling, running_service, send
from tests.support.waiting import wait_until


@pytest.mark.parametrize("processes", [1, 2])
def test_the_service_sends_what_is_final(database_url: str, processes: int) -> None:
    """Sent twice by OTLP and by several workers: each call is one event, and the sum is the ledger's."""
    with running() as posthog:
        settings = {"posthog_host": posthog.url, "posthog_api_key": KEY, "finalise_after": 0.2}
        with running_service(database_url, processes=processes, **settings) as addresses:
            request = filling(time.time_ns())
            for _ in range(2):
                send(addresses["grpc"], request)
            with psycopg.connect(database_url, autocommit=True) as connection:
                counted = connection.execute(
                    "select count(*), sum(cost_usd) from callfare.cost_record where status <> 'duplicate'"
                ).fetchone()
            assert counted is not None
            wait_until("every call is an event", lambda: len(posthog.events) == counted[0])
        assert posthog.cost_usd == counted[1] > D(0)
        links = {each["properties"]["callfare_url"].rpartition("/workflows/")[0] for each in posthog.events}
        assert len(links) == 1
        assert links.pop().startswith("http://127.0.0.1:")


def test_the_demo_sends_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are invented: a person's own project must not get them."""
    made: list[Settings] = []

    class Nowhere:
        def __init__(self, settings: Settings, _: str) -> None:
            made.append(settings)

        def start(self) -> dict[str, Any]:
            return {}

        def stop(self) -> None:
            """There is nothing."""

    monkeypatch.setenv("CALLFARE_POSTHOG_HOST", "https://eu.i.posthog.com")
    monkeypatch.setenv("CALLFARE_POSTHOG_API_KEY", KEY)
    monkeypatch.setattr(demo, "Service", Nowhere)
    monkeypatch.setattr(demo, "database_for", lambda _: nullcontext("postgresql://"))
    with demo._service():
        assert made[0].posthog() is None


def test_doctor_names_what_waits_and_what_was_dropped(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of waiting are wrong; what was dropped is a note; without either nothing is said."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
    assert "PostHog" not in run_command(capsys, "doctor").out
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into callfare.posthog_call (namespace, trace_id, span_id, waiting_since)"
            " values ('default', gen_random_uuid(), 1, now() - interval '11 minutes')"
        )
        connection.execute(
            "insert into callfare.posthog_place (transaction_id, posting_id, dropped_count) values ('1', 0, 7)"
        )
    out = " ".join(run_command(capsys, "doctor").out.split())
    assert "1 events wait, the oldest for 66" in out
    assert "7 events were dropped" in out


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"HOST": "https://eu.i.posthog.com"}, "error: CALLFARE_POSTHOG_API_KEY is not set"),
        ({"API_KEY": "phc_x"}, "error: CALLFARE_POSTHOG_HOST is not set"),
        (
            {"HOST": "eu.i.posthog.com", "API_KEY": "phc_x"},
            "error: CALLFARE_POSTHOG_HOST: 'eu.i.posthog.com' is not a URL",
        ),
        (
            {"HOST": "https://eu.i.posthog.com", "API_KEY": "phx_x"},
            "error: CALLFARE_POSTHOG_API_KEY: is not the key of a",
        ),
    ],
)
def test_half_a_configuration_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    error: str,
    tmp_path: Path,
) -> None:
    """Both or neither, and the key of a project: one line says which is wrong, before anything starts."""
    for name, text in given.items():
        monkeypatch.setenv(f"CALLFARE_POSTHOG_{name}", text)
    ran = run_command(capsys, "serve", "--db", f"postgresql:///nowhere?host={tmp_path}")
    assert ran.exit_code != 0
    assert ran.err.startswith(error)
    assert len(ran.err.splitlines()) == 1
