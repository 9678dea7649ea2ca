"""Paid calls of vendors' real SDKs under a budget: what is refused never reaches the fake, what ends is settled."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import openai
import pytest
from elevenlabs.client import ElevenLabs
from opentelemetry import context as context_api

import callfare
from callfare import BudgetExceeded, budget
from callfare import attributes as names
from callfare.calls.admission import admit
from callfare.calls.span import CallRequest, forget_open_calls, open_call
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from tests.instrumentation.budget.conftest import TEN_CENTS
from tests.instrumentation.elevenlabs.test_elevenlabs import here
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.support.waiting import wait_until

DIME = Decimal("0.10")
CALL = {"input": TEN_CENTS, "model": "tts-1", "voice": "alloy"}


def amounts(money) -> tuple[Decimal, Decimal]:
    return money.spent_usd, money.reserved_usd


def test_a_refused_call_never_reaches_the_vendor(fake, spans, client) -> None:
    """No request, no span; the next budget's call goes out as ever."""
    with budget("0.15") as money:
        client.audio.speech.create(**CALL)
        assert amounts(money) == (DIME, 0)
        with pytest.raises(BudgetExceeded) as refused:
            client.audio.speech.create(**CALL)
    assert (refused.value.reason, refused.value.spent_usd, refused.value.estimate_usd) == ("exceeded", DIME, DIME)
    assert fake.request_count == 1
    assert len(spans.all) == 1
    client.audio.speech.create(**CALL)
    assert fake.request_count == 2
    assert money.spent_usd == DIME


def test_fifty_threads_get_fifteen_calls_through(fake, spans, client) -> None:
    """All are under way at once; the vendor's fake counts what came."""
    together = threading.Barrier(50)

    def call(_: int) -> bool:
        together.wait(timeout=120)
        try:
            client.audio.speech.create(**CALL)
        except BudgetExceeded:
            return False
        return True

    with budget("1.50") as money, ThreadPoolExecutor(50) as pool:
        passed = list(pool.map(call, range(50)))
    assert passed.count(True) == 15
    assert fake.request_count == 15
    assert fake.characters == 150
    assert amounts(money) == (Decimal("1.50"), 0)


def test_fifty_tasks_get_fifteen_calls_through(fake, spans, instrumented) -> None:
    """The same in one event loop, `async with`."""

    async def run() -> tuple[int, Any]:
        client = openai.AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0)
        async with client, budget("1.50") as money:
            calls = (client.audio.speech.create(**CALL) for _ in range(50))
            answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BudgetExceeded)]
        assert len(refused) + sum(not isinstance(answer, BaseException) for answer in answers) == 50
        return len(refused), money

    refused_count, money = asyncio.run(run())
    assert refused_count == 35
    assert fake.request_count == 15
    assert amounts(money) == (Decimal("1.50"), 0)


def test_the_fourth_of_four_tasks_is_refused_before_the_vendor_is_asked(fake, spans, client) -> None:
    """The task is the workflow's."""
    limits = {"acquisition": "0.05", "transcription": "0.30", "analysis": "0.75", "verification": "0.40"}

    def charge(task: str, cents: int) -> bool:
        with callfare.workflow(task=task):
            try:
                client.audio.speech.create(**{**CALL, "input": "x" * cents})
            except BudgetExceeded as error:
                return error.task != task
            return True

    charges = [("acquisition", 5), ("transcription", 30), ("analysis", 40), ("analysis", 40), ("verification", 40)]
    with budget("1.50", limits) as money:
        assert [charge(*one) for one in charges] == [True, True, True, False, True]
    assert fake.characters == 115
    assert amounts(money) == (Decimal("1.15"), 0)


def test_a_tenants_own_price_decides(fake, spans, client) -> None:
    """Five cents a character instead of one."""
    with callfare.workflow(tenant="acme"), budget("0.40") as money, pytest.raises(BudgetExceeded) as refused:
        client.audio.speech.create(**CALL)
    assert refused.value.estimate_usd == Decimal("0.50")
    assert (fake.request_count, money.remaining_usd) == (0, Decimal("0.40"))


def test_what_has_no_price_is_refused_by_a_hard_budget_alone(fake, spans, client) -> None:
    """A soft one lets it pass, and says so."""
    unknown = {**CALL, "model": "tts-nobody-knows"}
    with budget("1") as money, pytest.raises(BudgetExceeded, match="CALLFARE_PRICES") as refused:
        client.audio.speech.create(**unknown)
    assert (refused.value.reason, refused.value.estimate_usd) == ("unpriced", None)
    assert "tts-nobody-knows" in str(refused.value)
    assert fake.request_count == 0
    called_back: list[BudgetExceeded] = []
    with budget("1", hard=False, on_exceeded=called_back.append) as money:
        client.audio.speech.create(**unknown)
    assert (fake.request_count, [error.reason for error in called_back]) == (1, ["unpriced"])
    assert amounts(money) == (0, 0)


def test_what_is_free_passes_an_exhausted_budget(fake, spans, client) -> None:
    """A price of 0 is a price."""
    with budget("0.10") as money:
        client.audio.speech.create(**CALL)
        client.audio.speech.create(**{**CALL, "model": "free-tts"})
    assert fake.request_count == 2
    assert amounts(money) == (DIME, 0)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_call_that_the_vendor_refuses_gives_its_money_back(fake, spans, client, status) -> None:
    """It costs nothing, and the next one fits."""
    with budget("0.10") as money:
        fake.refuse_next = [status]
        with pytest.raises(openai.APIStatusError):
            client.audio.speech.create(**CALL)
        assert amounts(money) == (0, 0)
        client.audio.speech.create(**CALL)
        assert amounts(money) == (DIME, 0)


def test_a_call_that_never_connects_gives_its_money_back(spans, instrumented) -> None:
    """Nobody listens there."""
    with openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0) as client, budget("0.10") as money:
        with pytest.raises(openai.APIConnectionError):
            client.audio.speech.create(**CALL)
        assert amounts(money) == (0, 0)


def test_what_the_sdk_sends_again_is_reserved_once(fake, spans, instrumented) -> None:
    """Two refusals and an answer are one call."""
    fake.refuse_next = [500, 503]
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=3) as client, budget("0.15") as money:
        client.audio.speech.create(**CALL)
    assert fake.request_count == 3
    assert amounts(money) == (DIME, 0)


def test_a_call_that_times_out_is_spent(fake, spans, instrumented) -> None:
    """The text was sent, and vendors bill that."""
    fake.never_answers = True
    client = openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0, timeout=0.2)
    with client, budget("0.15") as money:
        with pytest.raises(openai.APITimeoutError):
            client.audio.speech.create(**CALL)
        assert amounts(money) == (DIME, 0)


def test_a_cancelled_call_is_settled(fake, spans, instrumented) -> None:
    """By the text that was sent."""
    fake.never_answers = True

    async def run() -> Any:
        client = openai.AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0)
        async with client, budget("0.15") as money:
            calling = asyncio.create_task(client.audio.speech.create(**CALL))
            await asyncio.to_thread(wait_until, "the request", lambda: fake.request_count)
            assert amounts(money) == (0, DIME)
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling
            return money

    assert amounts(asyncio.run(run())) == (DIME, 0)


@pytest.mark.parametrize("how", ["read", "left", "unread", "broken"])
def test_a_streamed_answer_is_settled_however_it_ends(fake, spans, client, how) -> None:
    """Reserved as long as it is open."""
    if how == "broken":
        fake.break_after_chunks = 2
    with budget("0.15") as money:
        with (
            contextlib.suppress(Exception if how == "broken" else ()),
            client.audio.speech.with_streaming_response.create(**CALL) as answer,
        ):
            assert amounts(money) == (0, DIME)
            if how in {"read", "broken"}:
                answer.read()
            elif how == "left":
                next(answer.iter_bytes())
        assert amounts(money) == (DIME, 0)


@pytest.fixture
def voice(spans) -> Iterator[tuple[ElevenLabsFake, ElevenLabs]]:
    """A vendor whose SDK hands out lazy generators. 14 characters of the list price are $0.0007."""
    instrumentor = ElevenLabsInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    with ElevenLabsFake() as fake:
        client = ElevenLabs(api_key="k", **here(fake))
        with client._client_wrapper.httpx_client.httpx_client:
            yield fake, client
    instrumentor.uninstrument()


SPEAK = {"voice_id": "v1", "text": "x" * 14, "model_id": "eleven_flash_v2_5", "output_format": "pcm_16000"}
COST = Decimal("0.0007")


@pytest.mark.parametrize("how", ["read", "closed", "thrown", "collected", "never started"])
def test_a_generator_is_settled_however_it_ends(voice, how) -> None:
    """A generator that nobody starts sends nothing, and reserves nothing."""
    fake, client = voice
    with budget("0.001") as money:
        stream = client.text_to_speech.stream(**SPEAK)
        if how == "never started":
            del stream
            assert (fake.request_count, *amounts(money)) == (0, 0, 0)
            return
        next(stream)
        assert amounts(money) == (0, COST)
        if how == "read":
            assert len(list(stream)) > 0
        elif how == "closed":
            stream.close()
        elif how == "thrown":
            with pytest.raises(ValueError, match="mine"):
                stream.throw(ValueError("mine"))
        del stream
        gc.collect()
        assert amounts(money) == (COST, 0)


def test_a_generator_is_refused_at_its_first_piece(voice) -> None:
    """There the request would go out."""
    fake, client = voice
    with budget("0.0005"):
        stream = client.text_to_speech.stream(**SPEAK)
        with pytest.raises(BudgetExceeded):
            next(stream)
    assert fake.request_count == 0


def test_a_call_under_way_when_it_is_seen_is_counted(spans) -> None:
    """Nothing is left to refuse; what it cost is missing for the next."""
    request = CallRequest(operation="text_to_speech", provider="openai", model="tts-1")
    with budget("0.05") as money, budget("9") as inner:
        call = open_call(spans.tracer, request)
        call.add(names.INPUT_CHARACTERS, 10)
        assert amounts(money) == (0, 0)
        call.end()
        call.end()
        assert amounts(money) == amounts(inner) == (DIME, 0)
    assert callfare.current_cost() is None


def test_a_call_of_unknown_cost_keeps_its_estimate(spans) -> None:
    """Neither spent nor free: nobody knows what it cost. Of a cost known in part the rest is kept."""
    with budget("9") as money:
        call = _held(spans)
        call.replace(names.INPUT_CHARACTERS, -1)
        call.end()
        assert amounts(money) == (0, DIME)
    with budget("9") as money:
        call = _held(spans)
        call.replace(names.INPUT_CHARACTERS, 4)
        call.set(names.PAID_EXTRAS, "diarize")
        call.end()
        assert amounts(money) == (Decimal("0.04"), Decimal("0.06"))


def test_a_frameworks_span_above_a_vendors_is_not_counted(spans) -> None:
    """The vendor's own span is."""
    with budget("9") as money:
        call = _held(spans)
        call.set(names.USAGE_BILLABLE, value=False)
        call.end()
        assert amounts(money) == (0, 0)


def test_a_call_that_nobody_finishes_gives_its_money_back(spans) -> None:
    """Collected without an end, or left behind in a forked child: no span will ever say what it used."""
    with budget("9") as money:
        call = _held(spans)
        assert money.reserved_usd == DIME
        del call
        gc.collect()
        assert amounts(money) == (0, 0)
        call = _held(spans)
        forget_open_calls()
        call.end()
        assert amounts(money) == (0, 0)


def _held(spans) -> Any:
    """An open call for which a dime is reserved."""
    request = CallRequest(
        operation="text_to_speech",
        provider="openai",
        model="tts-1",
        quantities={names.INPUT_CHARACTERS: 10},
    )
    return open_call(spans.tracer, request, hold=admit(request, context_api.get_current()))
