from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.cli.running import run_command
from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, as_url, filling, running_service, send

PERIOD = ("--since", "2026-01-01", "--until", "2027-01-01")
STARTED_AT_UNIX_NS = 1_790_000_000 * 10**9  # 2026-09-21
PRICES = """
prices:
  - provider: openai
    model: text-embedding-3-small
    unit: input_tokens
    price: "0.03"
    per: "1000000"
    valid_from: 2026-01-01T00:00:00Z
"""
UNKNOWN_MODEL = """
prices:
  - {provider: openai, model: "=no-such-model", unit: input_tokens, price: "3", per: "1000000"}
  - {provider: openai, model: "=no-such-model", unit: output_tokens, price: "9", per: "1000000"}
"""


@pytest.fixture
def callfare(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a database of this test's own, filled."""
    url = as_url(database_url)
    with running_service(url) as addresses:
        send(addresses["grpc"], filling(STARTED_AT_UNIX_NS))
    monkeypatch.setenv("CALLFARE_DATABASE_URL", url)
    return lambda *arguments: run_command(capsys, *arguments)


def test_history_is_looked_at_re_rated_and_put_back(callfare: Any, tmp_path: Path) -> None:
    """A dry run writes nothing, applying moves record and rollups together, undoing brings every digit back."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    assert callfare("prices", "load", str(prices)).exit_code == 0
    dearer = D("0.03") * 2_000 / 1_000_000
    expected = {"records": 1, "before_usd": "0.00004", "after_usd": "0.00006"}

    dry = callfare("rerate", *PERIOD, "--json").json
    assert {name: dry[name] for name in expected} == expected
    assert (dry["id"], total_of(callfare)) == (None, CHAT_COST_USD + EMBEDDING_COST_USD)

    applied = callfare("rerate", *PERIOD, "--apply", "--json").json
    assert {name: applied[name] for name in expected} == expected
    assert total_of(callfare) == CHAT_COST_USD + dearer
    assert callfare("verify").exit_code == 0

    undone = callfare("rerate", "--undo", str(applied["id"])).out
    assert "$0.00006 → $0.00004" in undone
    assert f"Re-rating {applied['id']} is undone: 1 records" in undone
    assert total_of(callfare) == CHAT_COST_USD + EMBEDDING_COST_USD
    again = callfare("rerate", "--undo", str(applied["id"]))
    assert (again.exit_code, again.err.count("\n")) == (1, 1)


def test_a_re_rating_says_that_it_wrote_and_can_be_found_again(callfare: Any, tmp_path: Path) -> None:
    """Its number is shown and listed; what changes nothing, and what is only looked at, uses up no number."""
    assert callfare("rerate", "list", "--json").json == {"rerates": []}
    assert "Nothing changes, so nothing was written." in callfare("rerate", *PERIOD, "--apply").out
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    callfare("prices", "load", str(prices))
    for _ in range(3):
        dry = callfare("rerate", *PERIOD).out
        assert "Nothing was written. Say --apply to write it." in dry
    assert callfare("rerate", "list", "--json").json == {"rerates": []}
    assert (
        "Written: 1 records. `callfare rerate --undo 1` puts their costs back."
        in callfare("rerate", *PERIOD, "--apply").out
    )
    (listed,) = callfare("rerate", "list", "--json").json["rerates"]
    assert (listed["id"], listed["state"], listed["records"]) == (1, "applied", 1)
    assert (listed["before_usd"], listed["after_usd"]) == ("0.00004", "0.00006")
    assert "Re-ratings" in callfare("rerate", "list").out
    callfare("rerate", "--undo", "1")
    assert [one["state"] for one in callfare("rerate", "list", "--json").json["rerates"]] == ["undone"]


def test_loading_prices_says_what_it_prices_again(callfare: Any, database_url: str, tmp_path: Path) -> None:
    """Also where no service runs: the records that had no price have one when the command ends."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(UNKNOWN_MODEL)
    loaded = callfare("prices", "load", str(prices), "--json").json
    cost_usd = D(3) * 10 / 1_000_000 + D(9) * 10 / 1_000_000
    assert loaded["repriced"] == {"id": 1, "records": 1, "before_usd": "0", "after_usd": f"{cost_usd.normalize():f}"}
    assert callfare("rerate", "list", "--json").json["rerates"][0]["only_unpriced"]
    assert total_of(callfare) == CHAT_COST_USD + EMBEDDING_COST_USD + cost_usd
    again = callfare("prices", "load", str(prices))
    assert "re-priced no record" in again.out
    assert "callfare rerate --since" in again.out


def test_a_correction_of_a_file_in_the_environment_has_an_effect(
    callfare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded after the file of `CALLFARE_PRICES` supersedes it, for each command."""
    first, correction = tmp_path / "first.yaml", tmp_path / "correction.yaml"
    first.write_text(PRICES)
    correction.write_text(PRICES.replace("0.03", "0.05"))
    monkeypatch.setenv("CALLFARE_PRICES", str(first))
    assert shown(callfare) == {"operator": "0.03"}
    assert callfare("rerate", *PERIOD, "--json").json["after_usd"] == "0.00006"
    assert callfare("prices", "load", str(correction)).exit_code == 0
    assert shown(callfare) == {"operator": "0.05"}
    assert callfare("rerate", *PERIOD, "--json").json["after_usd"] == "0.0001"
    monkeypatch.delenv("CALLFARE_PRICES")
    assert shown(callfare) == {"operator": "0.05"}


def shown(callfare: Any) -> dict[str, str]:
    """Return the price by book of one model, as `prices show` has it."""
    rows = callfare("prices", "show", "text-embedding-3-small", "--provider", "openai", "--json").json
    return {row["book"]: row["price"] for row in rows if row["book"] != "list"}


def test_a_call_told_in_part_stays_partial(callfare: Any, database_url: str) -> None:
    """To price it again makes no whole of it: nothing has changed, so nothing is written."""
    with running_service(as_url(database_url)) as addresses:
        send(addresses["grpc"], partial_request())
    assert callfare("rerate", *PERIOD, "--json").json["records"] == 0


def partial_request() -> bytes:
    """The request that fills the database, without what any answer took, in traces of its own."""
    request = ExportTraceServiceRequest.FromString(filling(STARTED_AT_UNIX_NS))
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.trace_id = span.trace_id[::-1]
        kept = [each for each in span.attributes if each.key != "gen_ai.usage.output_tokens"]
        del span.attributes[:]
        span.attributes.extend(kept)
    return request.SerializeToString()


def total_of(callfare: Any) -> D:
    return D(callfare("report", *PERIOD, "--json").json["total_cost_usd"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--since", "2026-01-01"],
        [*PERIOD, "--apply", "--dry-run"],
        ["--apply", "list"],
        ["--undo", "1", "--tenant", "acme"],
    ],
)
def test_incomplete_or_contradicting_options_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What to re-rate, and whether to write, must be said once and clearly."""
    ran = run_command(capsys, "rerate", *arguments)
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (2, "", 1)
