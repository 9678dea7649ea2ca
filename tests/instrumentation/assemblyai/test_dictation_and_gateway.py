"""AssemblyAI's dictation (1.5 and later) and LLM gateway (1.6 and later)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import assemblyai
import pytest

from callfare import attributes as names
from tests.instrumentation.assemblyai.sdk import client_of, settings_of
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.instrumentation.releases import is_too_old
from tests.support.recording import Recorded
from tests.support.waiting import PATIENCE_SECONDS

MESSAGES = [{"role": "user", "content": "canary question"}]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of pydantic
dictates = pytest.mark.skipif(
    is_too_old("assemblyai", "dictation", has=hasattr(assemblyai, "DictationTranscriber")),
    reason="dictation came with 1.5",
)
completes = pytest.mark.skipif(
    is_too_old("assemblyai", "LLM gateway", has=hasattr(assemblyai, "LLMGateway")), reason="the gateway came with 1.6"
)


def _in_async(fake: FakeAssemblyAI, use: Any) -> Any:
    async def call() -> Any:
        async with assemblyai.AsyncClient(settings=settings_of(fake)) as client:
            return await use(client)

    return asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))


@dictates
def test_dictation_is_billed_by_the_vendors_duration(fake: FakeAssemblyAI, spans: Recorded, wav) -> None:
    """A whole recording, one that is pushed in, and the asynchronous twin."""
    config = assemblyai.DictationConfig(sample_rate=16_000, channels=1)
    with assemblyai.DictationTranscriber(client=client_of(fake)) as transcriber:
        assert transcriber.transcribe_live(wav(2.5)).text == "canary transcript"
        with transcriber.open_live(config) as session:
            session.write(b"\0\0" * 16_000)
        assert session.result().text == "canary transcript"
    assert fake.uploaded_bytes > len(wav(2.5)) + 32_000

    async def dictate(client: Any) -> None:
        async with assemblyai.AsyncDictationTranscriber(client=client) as transcriber:
            await transcriber.transcribe_live(wav(2.5))

    _in_async(fake, dictate)
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2.5, 2.5, 2.5]
    assert spans.values(names.REQUEST_MODEL) == ["dictation"] * 3
    assert spans.values(names.USAGE_SOURCE) == ["vendor_body"] * 3
    assert spans.values(names.RESPONSE_ID) == ["upload-1"] * 3
    assert "canary" not in spans.text()


@dictates
def test_dictation_that_fails_is_no_cost(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """A refusal is free; of audio that breaks off in the application nothing is known."""

    def microphone() -> Iterator[bytes]:
        yield b"\0\0" * 100
        message = "unplugged"
        raise RuntimeError(message)

    config = assemblyai.DictationConfig(sample_rate=16_000, channels=1)
    with assemblyai.DictationTranscriber(client=client_of(fake)) as transcriber:
        fake.refuse_next = [429]
        with pytest.raises(assemblyai.DictationError):
            transcriber.transcribe_live(b"\0\0", config)
        with pytest.raises(RuntimeError, match="unplugged"):
            transcriber.transcribe_live(microphone(), config)
    assert spans.values(names.CALL_REFUSED) == [True, None]
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [None, None]


@completes
def test_completions_are_counted_in_tokens(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Whole, as the gateway's usage says; cached tokens are a part of the input."""
    chat = assemblyai.LLMGateway(client=client_of(fake)).chat
    assert chat.completions.create(model="claude-sonnet-5", messages=MESSAGES).usage.prompt_tokens == 120
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "chat",
            names.PROVIDER_NAME: "assemblyai",
            names.REQUEST_MODEL: "claude-sonnet-5",
            names.RESPONSE_ID: "chat-1",
            names.INPUT_TOKENS: 120,
            names.CACHE_READ_TOKENS: 40,
            names.OUTPUT_TOKENS: 30,
            names.USAGE_SOURCE: "vendor_body",
        }.items()
    )
    assert names.INPUT_AUDIO_TOKENS not in spans.one, "none"
    assert "canary" not in spans.text()


@completes
def test_streamed_completions_are_counted_by_their_last_piece(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """One is read, one left early, whose tokens nobody told; one never begun is nothing."""
    completions = assemblyai.LLMGateway(client=client_of(fake)).chat.completions
    pieces = completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    assert not spans.all
    assert len(list(pieces)) == 3
    left = completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    next(left)
    left.close()
    completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    assert spans.values(names.INPUT_TOKENS) == [120, None]
    assert spans.values(names.RESPONSE_MODEL) == ["gpt-5-dated", None]
    assert spans.values(names.FINISH_REASONS) == [None, ("interrupted",)]


@completes
def test_asynchronous_completions_are_counted(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Whole and streamed."""

    async def complete(client: Any) -> None:
        completions = assemblyai.AsyncLLMGateway(client=client).chat.completions
        await completions.create(model="claude-sonnet-5", messages=MESSAGES)
        pieces = await completions.create(model="gpt-5", messages=MESSAGES, stream=True)
        assert len([piece async for piece in pieces]) == 3

    _in_async(fake, complete)
    assert spans.values(names.INPUT_TOKENS) == [120, 120]
    assert spans.values(names.OUTPUT_TOKENS) == [30, 30]


@completes
def test_a_refused_completion_is_free(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """Whole and streamed: the SDK's own exception, and its own complaint about wrong arguments."""
    completions = assemblyai.LLMGateway(client=client_of(fake)).chat.completions
    for is_stream in (False, True):
        fake.refuse_next = [402]
        with pytest.raises(assemblyai.types.LLMGatewayError):
            list(completions.create(model="gpt-5", messages=MESSAGES, stream=is_stream))
    assert spans.values(names.CALL_REFUSED) == [True, True]
    with pytest.raises(TypeError, match="messages"):
        completions.create(model="gpt-5", stream=True)
