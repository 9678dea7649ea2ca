"""Eight processes that share the budgets of a service: what they send is bounded, whatever dies."""

import os
import random
import subprocess
import sys
from decimal import Decimal as D
from pathlib import Path

import pytest

from tests.instrumentation.budget.service import Database, Service, held, set_budget
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.support.waiting import wait_until

EIGHT = """
import http.client, json, sys
from decimal import Decimal
from callfare.budget import channel
channel.WAIT_SECONDS_MAX = channel._REQUEST_SECONDS_MAX = 300.0  # a loaded machine is no service that is away
from callfare import BudgetExceeded
from callfare.budget.shared import SharedBudgets
budgets = SharedBudgets(sys.argv[1])
vendor = http.client.HTTPConnection(sys.argv[2])
sys.stdin.readline()
for cents in map(int, sys.argv[3:]):
    try:
        hold = budgets.admit(("acme", "", "", "", "openai", "tts-1"), Decimal("0.10"))
    except BudgetExceeded:
        continue
    vendor.request("POST", "/v1/audio/speech", json.dumps({"input": "." * cents, "model": "tts-1", "voice": "alloy"}))
    vendor.getresponse().read()  # the vendor has counted it before anybody can settle
    print("sent", flush=True)
    hold.settle(Decimal(cents) / 100)
"""


def start(service: Service, vendor: OpenAIFake, cents: list[int]) -> subprocess.Popen[str]:
    source = str(Path(__file__).parents[3] / "instrumentation")
    path = os.pathsep.join([source, str(Path(__file__).parents[3])])
    return subprocess.Popen(
        [sys.executable, "-c", EIGHT, service.url, vendor.url.removeprefix("http://"), *map(str, cents)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def run_eight(processes: list[subprocess.Popen[str]], killed: int) -> None:
    """Let them go at once, and kill some after their first call."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes[:killed]:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    for process in processes:
        process.communicate()


def test_eight_processes_never_send_more_than_the_limit(database: Database, service: Service, fake: OpenAIFake) -> None:
    """56 calls of 0.10 under 1.50 are exactly 15."""
    set_budget(database, "1.50")
    run_eight([start(service, fake, [10] * 7) for _ in range(8)], killed=0)
    assert fake.characters == 150
    assert held(database) <= D("1.50")


@pytest.mark.parametrize("killed", [0, 3])
def test_what_eight_processes_spend_is_bounded_where_estimates_are_wrong(
    database: Database, service: Service, fake: OpenAIFake, killed: int
) -> None:
    """Each call costs its estimate times something between a half and one and a half, by leases and one by one.

    A process has one call under way, so that what can be spent beyond the limit is the largest excess of each.
    """
    set_budget(database, "6.00")
    chance = random.Random(killed)
    cents = [[chance.randint(5, 15) for _ in range(14)] for _ in range(8)]
    excess_usd = [D(max(each) - 10) / 100 for each in cents]
    assert sum(map(sum, cents)) > 1_000, "more than there is"
    run_eight([start(service, fake, each) for each in cents], killed)
    assert ("lease",) in database.execute("select kind from callfare.reservation").fetchall()
    spent_usd = D(fake.characters) / 100
    assert spent_usd <= 6 + sum(excess_usd)
    if killed:  # with kill -9, what was under way stays held by its estimate, and a lease by what it was granted
        assert held(database) >= spent_usd - sum(excess_usd[:killed])
    else:
        assert spent_usd >= D("5.70")
        wait_until("held", lambda: held(database) == spent_usd)
