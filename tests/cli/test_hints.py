"""`callfare hints`: each bound worked out by hand from planted calls, and what must not be hinted at."""

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.span import Call
from cost_exporter.prices import load_book
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.cli.running import run_command
from tests.domain.builders import call, link
from tests.store.requests import request
from tests.support.stored import as_url

MINUTE_MS = 60_000
PRICES = "prices:\n" + "".join(
    f'  - {{provider: acme, model: {model}, unit: {unit}, price: "{price}", per: "1000000",'
    " valid_from: 2020-01-01T00:00:00Z}\n"
    for model, unit, price in (
        ("big", "input_tokens", "10"),
        ("big", "output_tokens", "30"),
        ("big", "cache_read_tokens", "1"),
        ("mid", "input_tokens", "4"),
        ("mid", "output_tokens", "12"),
        ("small", "input_tokens", "1"),
        ("small", "output_tokens", "3"),
        ("voice", "characters", "50"),
    )
)
_names = iter(range(10**6))


def chat(
    trace: str,
    model: str,
    input_tokens: int,
    output_tokens: int = 0,
    *,
    minute: float = 0,
    cached: int | None = None,
    **fields: Any,
) -> Call:
    """One answer in a trace, so many minutes after the beginning; it takes a second."""
    quantities: dict[str, int | D] = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    if cached is not None:
        quantities["cache_read_tokens"] = cached
    return reported(trace, model, quantities, minute=minute, **fields)


def reported(trace: str, model: str, quantities: dict[str, int | D], *, minute: float = 0, **fields: Any) -> Call:
    start_ms = int(minute * MINUTE_MS)
    return call(
        f"{next(_names):x}",
        trace=trace.encode().rjust(16, b"\0"),
        provider="acme",
        model=model,
        quantities=quantities,
        start_ms=start_ms,
        end_ms=start_ms + 1000,
        **fields,
    )


def root(trace: str, workflow: str | None, tenant: str = "default") -> Any:
    attribution = Attribution(tenant=tenant, workflow_name=workflow)
    return link("root", parent=None, trace=trace.encode().rjust(16, b"\0"), attribution=attribution)


@pytest.fixture
def stored(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Store calls, and return the hints by kind, tenant and model."""
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
    assert run_command(capsys, "prices", "load", str(path)).exit_code == 0
    book = load_book(path)
    with closing(LedgerStore(database_url)) as ledger:

        def hints(*spans: Any, options: tuple[str, ...] = ()) -> dict[tuple[str, str, str], dict[str, Any]]:
            if spans:
                ledger.commit([request(*spans)], book.price)
            ran = run_command(capsys, "hints", "--since", "2026-01-01", "--until", "2027-01-01", "--json", *options)
            assert ran.exit_code == 0
            return {(each["kind"], each["tenant_id"], each["model"]): each for each in json.loads(ran.out)["hints"]}

        yield hints


def at_most(found: dict[tuple[str, str, str], dict[str, Any]], kind: str, model: str, tenant: str = "default") -> D:
    return D(found[kind, tenant, model]["at_most_usd"])


def test_a_missed_cache_is_the_uncached_input_less_what_the_cache_costs(stored: Any) -> None:
    """Two of these prompts came within an hour of another one and read nothing: 3,024 tokens at 10 - 1 a million."""
    found = stored(
        root("a", "support"),
        chat("a", "big", 2000, 400, minute=0),
        chat("a", "big", 2000, 400, minute=10),
        chat("a", "big", 1024, 400, minute=20),
        chat("a", "big", 2000, 400, minute=30, cached=500),
        chat("a", "big", 5000, 400, minute=180),
        chat("a", "big", 1023, 400, minute=181),
        root("b", "other"),
        chat("b", "big", 3000, 400, minute=5),
        root("c", None),
        chat("c", "big", 3000, 400, minute=6),
        chat("c", "big", 3000, 400, minute=7),
        root("d", "no-cache"),
        chat("d", "small", 3000, 400, minute=0),
        chat("d", "small", 3000, 400, minute=1),
    )
    assert {kind for kind, *_ in found} == {"prompt_cache_missed"}
    assert at_most(found, "prompt_cache_missed", "big") == D("0.027216")
    (hint,) = found.values()
    assert (hint["workflow_name"], hint["request_count"], hint["unpriced_count"]) == ("support", 2, 0)


def test_an_expensive_model_is_compared_with_one_that_is_used(stored: Any) -> None:
    """200 tokens in and 40 out cost 0.0032 at 10 and 30, and 0.00032 at 1 and 3; four times is not expensive."""
    found = stored(
        chat("a", "big", 100, 20),
        chat("b", "big", 100, 20),
        chat("c", "big", 1001, 20),
        chat("d", "big", 100, 301),
        chat("e", "mid", 100, 20),
        chat("f", "small", 100_000, 5_000),
    )
    assert set(found) == {("expensive_model", "default", "big")}
    assert at_most(found, "expensive_model", "big") == D("0.00288")
    assert found["expensive_model", "default", "big"]["instead"] == "small"
    assert found["expensive_model", "default", "big"]["request_count"] == 2


def test_another_tenants_model_is_no_alternative(stored: Any) -> None:
    """Who uses one model only is not told of another one."""
    found = stored(
        root("a", None, "acme"), chat("a", "big", 100, 20), root("b", None, "beta"), chat("b", "small", 100, 20)
    )
    assert found == {}


def test_interrupted_speech_is_all_that_it_cost(stored: Any) -> None:
    """123 characters at 50 a million; what was spoken to its end is none, and unknown costs are counted beside it."""
    speech: dict[str, Any] = {"operation": "text_to_speech"}
    found = stored(
        reported("a", "voice", {"characters": 123}, issues=("interrupted",), **speech),
        reported("b", "voice", {"characters": 9000}, **speech),
        reported("c", "voice", {}, issues=("interrupted",), **speech),
    )
    assert set(found) == {("interrupted_speech", "default", "voice")}
    hint = found["interrupted_speech", "default", "voice"]
    assert (hint["at_most_usd"], hint["request_count"], hint["unpriced_count"]) == ("0.00615", 1, 1)


def test_a_retry_is_the_failed_call_before_it(stored: Any) -> None:
    """700 tokens at 4 a million, once; not what was never repeated, nor repeated with another input or much later."""
    failed: dict[str, Any] = {"error_type": "APITimeoutError", "has_failed": True}
    found = stored(
        chat("a", "mid", 700, 0, minute=0, **failed),
        chat("a", "mid", 700, 50, minute=1),
        chat("b", "mid", 800, 0, minute=0, **failed),
        chat("c", "mid", 900, 0, minute=0, **failed),
        chat("c", "mid", 901, 50, minute=1),
        chat("d", "mid", 600, 0, minute=0, **failed),
        chat("d", "mid", 600, 50, minute=10),
        chat("e", "mid", 500, 50, minute=0),
        chat("e", "mid", 500, 50, minute=1),
        chat("f", "mid", 800, 50, minute=1),
    )
    assert set(found) == {("paid_retry", "default", "mid")}
    hint = found["paid_retry", "default", "mid"]
    assert (hint["at_most_usd"], hint["request_count"]) == ("0.0028", 1)


def test_tenant_period_and_table(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Only that tenant's, only of the period; the table has the bound and says that bounds do not add up."""
    stored(
        root("a", "calls", "acme"),
        reported("a", "voice", {"characters": 123}, issues=("interrupted",), operation="text_to_speech"),
    )
    assert set(stored(options=("--tenant", "beta"))) == set()
    ran = run_command(capsys, "hints", "--since", "2026-01-01", "--until", "2027-01-01")
    assert "$0.00615" in ran.out
    assert "do not add them up" in ran.out
    before = run_command(capsys, "hints", "--since", "2025-01-01", "--until", "2026-01-01")
    assert "Nothing to hint at." in before.out
