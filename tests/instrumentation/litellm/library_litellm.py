"""LiteLLM as a library under a budget, against fakes of two vendors: the real package, in an environment of its own."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import litellm
import pytest

import callfare
from callfare.guards import BudgetInstrumentor
from tests.instrumentation.fakes.models import ModelsFake

# A token in costs a tenth of a cent, cached or not, and one out two tenths: a call of 100 and 20 costs 14 cents.
PRICE_USD = D("0.140")
MODELS = (("openai", "gpt-4o-mini"), ("openai", "text-embedding-3-small"), ("anthropic", "claude-opus-5"))
PROMPT = "canary ".ljust(400, "p")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 20, "api_key": "k"}
Send = Callable[..., Any]


@pytest.fixture(autouse=True)
def round_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        f'  - {{provider: {provider}, model: "{model}", unit: {unit}, price: "{price}", per: "1",'
        " valid_from: 2020-01-01}\n"
        for provider, model in MODELS
        for unit, price in (("input_tokens", "0.001"), ("output_tokens", "0.002"), ("cache_read_tokens", "0.001"))
    ]
    path = tmp_path / "prices.yaml"
    path.write_text(f"inherit: list\nprices:\n{''.join(rows)}", encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


@pytest.fixture
def fake() -> Iterator[ModelsFake]:
    BudgetInstrumentor().instrument()
    try:
        with ModelsFake() as server:
            yield server
    finally:
        BudgetInstrumentor().uninstrument()


def openai_of(fake: ModelsFake, **asked: Any) -> dict[str, Any]:
    return {**CHAT, "model": "openai/gpt-4o-mini", "api_base": f"{fake.url}/v1", **asked}


def anthropic_of(fake: ModelsFake, **asked: Any) -> dict[str, Any]:
    return {**CHAT, "model": "anthropic/claude-opus-5", "api_base": fake.url, **asked}


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
SENDS: dict[str, Send] = {
    "OpenAI": lambda fake: litellm.completion(**openai_of(fake)),
    "OpenAI, streamed": lambda fake: list(litellm.completion(**openai_of(fake, **STREAM))),
    "Anthropic": lambda fake: litellm.completion(**anthropic_of(fake)),
    "Anthropic, streamed": lambda fake: list(litellm.completion(**anthropic_of(fake, **STREAM))),
    "Anthropic, by position": lambda fake: litellm.completion(
        "anthropic/claude-opus-5",
        CHAT["messages"],
        max_tokens=20,
        api_key="k",
        api_base=fake.url,
    ),
    "asynchronous": lambda fake: asyncio.run(litellm.acompletion(**anthropic_of(fake))),
    "asynchronous, streamed": lambda fake: asyncio.run(_read(litellm.acompletion(**anthropic_of(fake, **STREAM)))),
}


async def _read(begun: Any) -> list[Any]:
    return [chunk async for chunk in await begun]


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS.keys())
def test_a_call_is_settled_by_its_answer_and_the_next_is_refused(send: Send, fake: ModelsFake) -> None:
    """The second does not fit: the vendor is not asked, and no money stays reserved. The SDK below reserves nothing."""
    with callfare.budget("0.20") as money:
        send(fake)
        assert (money.spent_usd, money.reserved_usd) == (PRICE_USD, 0)
        with pytest.raises(callfare.BudgetExceeded) as refused:
            send(fake)
        assert (money.spent_usd, money.reserved_usd) == (PRICE_USD, 0)
    assert refused.value.reason == "exceeded"
    assert fake.request_count == 1


def test_embeddings_have_no_output(fake: ModelsFake) -> None:
    asked = {"model": "openai/text-embedding-3-small", "input": [PROMPT], "api_base": f"{fake.url}/v1", "api_key": "k"}
    with callfare.budget("0.15") as money:
        litellm.embedding(**asked)
        assert (money.spent_usd, money.reserved_usd) == (D("0.100"), 0)
        with pytest.raises(callfare.BudgetExceeded):
            litellm.embedding(**asked)
    assert fake.request_count == 1


def test_a_model_that_has_no_price_is_refused(fake: ModelsFake) -> None:
    """Also one that LiteLLM knows no vendor of; without a budget it raises what it always does."""
    with callfare.budget("1"):
        for model in ("anthropic/no-such-model", "no-such-model"):
            with pytest.raises(callfare.BudgetExceeded) as refused:
                litellm.completion(**anthropic_of(fake, model=model))
            assert refused.value.reason == "unpriced"
    assert fake.request_count == 0
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(model="no-such-model", messages=CHAT["messages"])


def test_an_answer_that_litellm_makes_up_costs_nothing(fake: ModelsFake) -> None:
    with callfare.budget("0.01") as money:
        litellm.completion(**anthropic_of(fake, mock_response="hello"))
    assert (money.spent_usd, fake.request_count) == (0, 0)


def test_a_refusal_by_the_vendor_gives_the_money_back(fake: ModelsFake) -> None:
    fake.refuse_next = [400]
    with callfare.budget("0.20") as money:
        with pytest.raises(litellm.BadRequestError):
            litellm.completion(**anthropic_of(fake))
        assert (money.spent_usd, money.reserved_usd) == (0, 0)
