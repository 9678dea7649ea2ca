"""The service and PostHog: events of what it received, and settings that name what is missing."""

import time
from decimal import Decimal as D
from pathlib import Path

import psycopg
import pytest

from tests.cli.running import run_command
from tests.forward.posthog import KEY, running
from tests.support.stored import filling, running_service, send
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
