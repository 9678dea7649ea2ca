"""Four vendors' real SDKs against one fake, at prices that make round sums: a call costs 14 cents.

Together they take ten seconds to import, so each is imported by the test that uses it, and not by each process that
collects tests.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from callfare.guards import BudgetInstrumentor
from tests.instrumentation.fakes.models import ModelsFake

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from google import genai
    from openai import AsyncOpenAI, AzureOpenAI, OpenAI

MODELS = (
    ("openai", "gpt-4o-mini"), ("openai", "text-embedding-3-small"), ("azure", "gpt-4o-mini"),
    ("anthropic", "claude-opus-5"), ("google", "gemini-2.5-flash"),
    ("aws", "anthropic.claude-3-5-haiku-20241022-v1:0"),
)  # fmt: skip
"""A token in costs a tenth of a cent, whether cached or not, and one out two tenths."""
_ROWS = "".join(
    f'  - {{provider: {provider}, model: "{model}", unit: {unit}, price: "{price}", per: "1",'
    " valid_from: 2020-01-01}\n"
    for provider, model in MODELS
    for unit, price in (("input_tokens", "0.001"), ("output_tokens", "0.002"), ("cache_read_tokens", "0.001"))
)


@pytest.fixture(autouse=True)
def round_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(f"inherit: list\nprices:\n{_ROWS}", encoding="utf-8")
    monkeypatch.setenv("CALLFARE_PRICES", str(path))


@pytest.fixture
def fake() -> Iterator[ModelsFake]:
    with ModelsFake() as server:
        yield server


@pytest.fixture(autouse=True)
def guards(spans: Any) -> Iterator[None]:
    instrumentor = BudgetInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


class Clients:
    """The SDKs, each pointed at the fake and made when it is used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._common: dict[str, Any] = {"api_key": "k", "max_retries": 0}

    @cached_property
    def openai(self) -> "OpenAI":
        from openai import OpenAI

        return OpenAI(base_url=f"{self._url}/v1", **self._common)

    @cached_property
    def async_openai(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=f"{self._url}/v1", **self._common)

    @cached_property
    def azure(self) -> "AzureOpenAI":
        from openai import AzureOpenAI

        return AzureOpenAI(azure_endpoint=self._url, api_version="2024-10-21", **self._common)

    @cached_property
    def anthropic(self) -> "Anthropic":
        from anthropic import Anthropic

        return Anthropic(base_url=self._url, **self._common)

    @cached_property
    def async_anthropic(self) -> "AsyncAnthropic":
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(base_url=self._url, **self._common)

    @cached_property
    def google(self) -> "genai.Client":
        from google import genai

        return genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=self._url))

    @cached_property
    def bedrock(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "bedrock-runtime",
            endpoint_url=self._url,
            region_name="us-east-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def close(self) -> None:
        """Close the connections of those that were used."""
        for name in ("openai", "azure", "anthropic", "google", "bedrock"):
            if name in vars(self):
                getattr(self, name).close()

    async def aclose(self) -> None:
        """The same in the loop that used them."""
        for name in ("async_openai", "async_anthropic"):
            if name in vars(self):
                await getattr(self, name).close()
        if "google" in vars(self):
            await self.google.aio.aclose()


@pytest.fixture
def clients(fake: ModelsFake) -> Iterator[Clients]:
    made = Clients(fake.url)
    yield made
    made.close()


PROMPT = "canary ".ljust(400, "p")
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 20}
MESSAGE: dict[str, Any] = {**CHAT, "model": "claude-opus-5"}
RESPONSE: dict[str, Any] = {"model": "gpt-4o-mini", "input": PROMPT, "max_output_tokens": 20}
CLAUDE = "anthropic.claude-3-5-haiku-20241022-v1:0"
CONVERSE: dict[str, Any] = {
    "modelId": CLAUDE,
    "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
    "inferenceConfig": {"maxTokens": 20},
}
INVOKE: dict[str, Any] = {
    "modelId": CLAUDE,
    "body": '{"max_tokens": 20, "messages": [{"role": "user", "content": "%s"}]}' % PROMPT,  # noqa: UP031 - JSON has braces
}
CONTENTS: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "contents": PROMPT,
    "config": {"max_output_tokens": 20, "http_options": {"timeout": 60_000}},
}

Send = Callable[[Clients], object]
