"""Models' real SDKs under a budget: refused before the fake is asked, and settled as its answer states."""

import asyncio
import contextlib
import gc
import json
from decimal import Decimal
from typing import Any

import pytest

from callfare import BudgetExceeded, budget
from callfare.guards.request_size import tokens_of_request
from tests.instrumentation.fakes.models import WORDS, ModelsFake
from tests.instrumentation.guards.conftest import (
    CHAT,
    CLAUDE,
    CONTENTS,
    CONVERSE,
    INVOKE,
    MESSAGE,
    PROMPT,
    RESPONSE,
    Clients,
    Send,
)

# google-genai derives from a class of aiohttp that warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

PRICE = Decimal("0.140")
USAGE = {"include_usage": True}


def _anthropic_stream(clients: Clients) -> object:
    with clients.anthropic.messages.stream(**MESSAGE) as stream:
        return list(stream.text_stream)


def _openai_stream(clients: Clients) -> object:
    with clients.openai.chat.completions.stream(**CHAT, stream_options=USAGE) as stream:
        return [event.type for event in stream]


SENDS: dict[str, Send] = {
    "chat": lambda clients: clients.openai.chat.completions.create(**CHAT),
    "chat, raw": lambda clients: clients.openai.chat.completions.with_raw_response.create(**CHAT).parse(),
    "chat, parsed": lambda clients: clients.openai.chat.completions.parse(**CHAT),
    "chat, streamed": lambda clients: list(
        clients.openai.chat.completions.create(**CHAT, stream=True, stream_options=USAGE)
    ),
    "chat, stream helper": _openai_stream,
    "chat, Azure": lambda clients: clients.azure.chat.completions.create(**CHAT),
    "response": lambda clients: clients.openai.responses.create(**RESPONSE),
    "response, streamed": lambda clients: list(clients.openai.responses.create(**RESPONSE, stream=True)),
    "message": lambda clients: clients.anthropic.messages.create(**MESSAGE),
    "message, streamed": lambda clients: list(clients.anthropic.messages.create(**MESSAGE, stream=True)),
    "message, stream helper": _anthropic_stream,
    "contents": lambda clients: clients.google.models.generate_content(**CONTENTS),
    "contents, streamed": lambda clients: list(clients.google.models.generate_content_stream(**CONTENTS)),
    "converse": lambda clients: clients.bedrock.converse(**CONVERSE),
    "converse, streamed": lambda clients: list(clients.bedrock.converse_stream(**CONVERSE)["stream"]),
    "invoke": lambda clients: clients.bedrock.invoke_model(**INVOKE)["body"].read(),
    "invoke, streamed": lambda clients: list(clients.bedrock.invoke_model_with_response_stream(**INVOKE)["body"]),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS.keys())
def test_a_call_is_settled_by_its_answer_and_the_next_is_refused(
    send: Send, clients: Clients, fake: ModelsFake
) -> None:
    """The second does not fit: the vendor is not asked, and no money stays reserved."""
    with budget("0.20") as money:
        send(clients)
        assert (money.spent_usd, money.reserved_usd) == (PRICE, 0)
        with pytest.raises(BudgetExceeded) as refused:
            send(clients)
        assert (money.spent_usd, money.reserved_usd) == (PRICE, 0)
    assert refused.value.reason == "exceeded"
    assert refused.value.estimate_usd is not None
    assert refused.value.estimate_usd >= PRICE
    assert fake.request_count == 1
    send(clients)
    assert fake.request_count == 2


def test_embeddings_have_no_output(clients: Clients, fake: ModelsFake) -> None:
    """A tenth of a cent for each token in."""
    with budget("0.15") as money:
        clients.openai.embeddings.create(model="text-embedding-3-small", input=PROMPT)
        assert (money.spent_usd, money.reserved_usd) == (Decimal("0.100"), 0)
        with pytest.raises(BudgetExceeded):
            clients.openai.embeddings.create(model="text-embedding-3-small", input=PROMPT)
    assert fake.request_count == 1


ASYNC_SENDS: dict[str, Any] = {
    "chat": lambda clients: clients.async_openai.chat.completions.create(**CHAT),
    "message": lambda clients: clients.async_anthropic.messages.create(**MESSAGE),
    "contents": lambda clients: clients.google.aio.models.generate_content(**CONTENTS),
}
ASYNC_STREAMS: dict[str, Any] = {
    "chat": lambda clients: clients.async_openai.chat.completions.create(**CHAT, stream=True, stream_options=USAGE),
    "message": lambda clients: clients.async_anthropic.messages.create(**MESSAGE, stream=True),
    "contents": lambda clients: clients.google.aio.models.generate_content_stream(**CONTENTS),
}


@pytest.mark.parametrize("send", ASYNC_SENDS.values(), ids=ASYNC_SENDS.keys())
def test_of_many_tasks_only_as_many_pass_as_fit(send: Any, clients: Clients, fake: ModelsFake) -> None:
    """Five fit into 0.75, whichever they are."""

    async def main() -> tuple[list[Any], tuple[Decimal, Decimal]]:
        async with budget("0.75") as money:
            outcomes = await asyncio.gather(*(send(clients) for _ in range(9)), return_exceptions=True)
            await clients.aclose()
            return outcomes, (money.spent_usd, money.reserved_usd)

    outcomes, amounts = asyncio.run(main())
    assert sum(isinstance(each, BudgetExceeded) for each in outcomes) == 4
    assert fake.request_count == 5
    assert amounts == (5 * PRICE, 0)


@pytest.mark.parametrize("send", ASYNC_STREAMS.values(), ids=ASYNC_STREAMS.keys())
def test_an_asynchronous_stream_is_settled_at_its_end(send: Any, clients: Clients, fake: ModelsFake) -> None:
    """And refused before it begins."""

    async def main() -> None:
        async with budget("0.20") as money:
            async for _ in await send(clients):
                assert money.reserved_usd > 0
            assert (money.spent_usd, money.reserved_usd) == (PRICE, 0)
            with pytest.raises(BudgetExceeded):
                async for _ in await send(clients):  # google-genai sends when it is iterated
                    pass
        await clients.aclose()

    asyncio.run(main())
    assert fake.request_count == 1


def test_a_refusal_by_the_vendor_gives_the_money_back(clients: Clients, fake: ModelsFake) -> None:
    """Whatever the SDK's class of error."""
    sends = [SENDS[name] for name in ("chat", "message", "contents", "converse")]
    with budget("0.20") as money:
        for send in sends:
            fake.refuse_next = [400]
            with pytest.raises(Exception) as error:  # noqa: PT011 - four SDKs, four classes
                send(clients)
            assert not isinstance(error.value, BudgetExceeded)
            assert (money.spent_usd, money.reserved_usd) == (0, 0)


def test_retries_share_one_reservation(clients: Clients, fake: ModelsFake) -> None:
    """The SDK asks three times, and one answer is paid."""
    fake.refuse_next = [500, 500]
    with budget("0.20") as money:
        clients.openai.with_options(max_retries=2).chat.completions.create(**CHAT)
        assert (money.spent_usd, money.reserved_usd) == (PRICE, 0)
    assert fake.request_count == 3


def test_a_time_out_is_settled_by_what_was_sent(clients: Clients, fake: ModelsFake) -> None:
    """The vendor may have read it: a hundred tokens, by their length."""
    import anthropic
    import openai

    fake.never_answers = True
    with budget("1.00") as money:
        with pytest.raises(openai.APITimeoutError):
            clients.openai.with_options(timeout=0.5).chat.completions.create(**CHAT)
        with pytest.raises(anthropic.APITimeoutError):
            clients.anthropic.with_options(timeout=0.5).messages.create(**MESSAGE)
        assert money.reserved_usd == 0
        assert Decimal("0.200") <= money.spent_usd < Decimal("0.22")


def test_a_cancelled_call_is_settled_by_what_was_sent(clients: Clients, fake: ModelsFake) -> None:
    """A task that is cancelled while it waits."""
    fake.never_answers = True

    async def main() -> None:
        async with budget("0.20") as money:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(clients.async_openai.chat.completions.create(**CHAT), 0.5)
            assert money.reserved_usd == 0
            assert Decimal("0.100") <= money.spent_usd < Decimal("0.11")
        await clients.aclose()

    asyncio.run(main())


def test_a_stream_that_is_left_is_settled_by_what_came(clients: Clients) -> None:
    """Two words of three, by their length; a vendor's first count is no output yet."""
    with budget("0.20") as money:
        stream = clients.openai.chat.completions.create(**CHAT, stream=True, stream_options=USAGE)
        assert [next(stream).choices[0].delta.content for _ in range(2)] == WORDS[:2]
        assert money.reserved_usd > 0
        stream.close()
        assert money.reserved_usd == 0
        assert Decimal("0.104") <= money.spent_usd < Decimal("0.11")
    with budget("0.20") as money:
        with clients.anthropic.messages.stream(**MESSAGE) as stream:
            next(stream.text_stream)
        assert (money.spent_usd, money.reserved_usd) == (Decimal("0.102"), 0)


def test_a_stream_that_nobody_reads_is_settled_when_it_is_collected(clients: Clients) -> None:
    """It was sent, and the vendor bills it."""
    with budget("0.20") as money:
        stream = clients.openai.chat.completions.create(**CHAT, stream=True)
        assert money.reserved_usd > 0
        response = stream.response
        del stream
        gc.collect()
        assert money.reserved_usd == 0
        assert Decimal("0.100") <= money.spent_usd < Decimal("0.11")
        response.close()


def test_a_generator_that_is_never_started_costs_nothing(clients: Clients, fake: ModelsFake) -> None:
    """google-genai sends the request at the first chunk."""
    with budget("0.20") as money:
        stream = clients.google.models._generate_content_stream(**CONTENTS)
        assert money.reserved_usd > 0
        del stream
        gc.collect()
        assert (money.spent_usd, money.reserved_usd) == (0, 0)
    assert fake.request_count == 0


def test_a_stream_without_usage_is_settled_by_length(clients: Clients) -> None:
    """No host is asked for usage here: sixteen characters came back."""
    with budget("0.20") as money:
        assert len(list(clients.openai.chat.completions.create(**CHAT, stream=True))) == len(WORDS)
        assert money.reserved_usd == 0
        assert Decimal("0.108") <= money.spent_usd < Decimal("0.12")


def test_what_the_application_reads_off_the_wire_keeps_its_estimate(clients: Clients) -> None:
    """It is not read a second time."""
    with budget("1.00") as money:
        with clients.openai.chat.completions.with_streaming_response.create(**CHAT) as response:
            assert json.loads(response.read())["usage"]["prompt_tokens"] == 100
        assert money.spent_usd == 0
        assert money.reserved_usd >= PRICE


def test_a_model_without_a_price_is_refused(clients: Clients, fake: ModelsFake) -> None:
    """By a hard budget; its cost could be anything."""
    with budget("1.00"), pytest.raises(BudgetExceeded) as refused:
        clients.openai.chat.completions.create(**CHAT | {"model": "nobody-knows-1"})
    assert refused.value.reason == "unpriced"
    assert fake.request_count == 0


def test_other_services_of_aws_are_left_alone(clients: Clients) -> None:
    """Every operation of botocore passes the guard."""
    import boto3

    store = boto3.client("s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    with budget("0.01"):
        assert store.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
        with pytest.raises(BudgetExceeded):
            clients.bedrock.converse(**CONVERSE)


def test_the_answers_are_as_they_were(clients: Clients) -> None:
    """Under a budget and without: the application sees the SDK's own objects."""
    import openai

    with budget("5.00"):
        stream = clients.openai.chat.completions.create(**CHAT, stream=True)
        assert isinstance(stream, openai.Stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "".join(WORDS)
        assert clients.openai.chat.completions.create(**CHAT).usage.total_tokens == 120
        events = clients.bedrock.converse_stream(**CONVERSE)["stream"]
        assert [each["contentBlockDelta"]["delta"]["text"] for each in events if "contentBlockDelta" in each] == WORDS
        assert json.loads(clients.bedrock.invoke_model(**INVOKE)["body"].read())["content"][0]["text"] == "".join(WORDS)
    assert CLAUDE in CONVERSE["modelId"]


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        (["abcd" * 10], 10),
        ([[{"role": "user", "content": "abcdefg"}]], 3),
        ([{"type": "image_url", "image_url": {"url": "data:" + "x" * 99_999}}], 1_003),
        ([b"x" * 99_999], 1_000),
        ([[1, 2, 3]], 3),
        ([None, 5, True], 0),
    ],
)
def test_a_request_is_measured_by_its_text(parts: list[Any], tokens: int) -> None:
    """Media by their number; what is neither is nothing."""
    assert tokens_of_request(*parts) == tokens
