"""CALLFARE_INCLUDE_USAGE: the vendor is asked for usage, and the application notices nothing, come what may."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import wrapt
from openai.resources.chat.completions.completions import Completions

from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from callfare.instrumentation.openai_audio._stream_usage import StreamUsageInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake

STREAM = {"model": "m", "messages": [], "stream": True}
ASKED = {"include_usage": True}


@pytest.fixture
def fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture
def asking() -> Iterator[StreamUsageInstrumentor]:
    instrumentor = StreamUsageInstrumentor()
    instrumentor.instrument()
    yield instrumentor
    instrumentor.uninstrument()


def chunks(fake: OpenAIFake, **arguments: Any) -> list[Any]:
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as client:
        return list(client.chat.completions.create(**STREAM, **arguments))


def chunks_async(fake: OpenAIFake, **arguments: Any) -> list[Any]:
    async def chat() -> list[Any]:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as client:
            return [chunk async for chunk in await client.chat.completions.create(**STREAM, **arguments)]

    return asyncio.run(chat())


both = pytest.mark.parametrize("ask", [chunks, chunks_async])
Ask = Callable[..., list[Any]]


def options(fake: OpenAIFake) -> list[Any]:
    """What the vendor was asked, request by request."""
    return [request.get("stream_options") for request in fake.chat_requests]


@both
def test_usage_is_asked_for_and_stays_hidden(fake: OpenAIFake, asking: StreamUsageInstrumentor, ask: Ask) -> None:
    """The application sees the chunks it would have seen without us."""
    asked = ask(fake)
    asking.uninstrument()
    plain = ask(fake)
    assert [chunk.model_dump() for chunk in asked] == [chunk.model_dump() for chunk in plain]
    assert options(fake) == [ASKED, None]


@pytest.mark.usefixtures("asking")
def test_the_applications_own_wish_is_left_alone(fake: OpenAIFake) -> None:
    """Whoever asked for usage, or said no, gets what they asked for."""
    assert chunks(fake, stream_options=ASKED)[-1].usage.total_tokens == 9
    chunks(fake, stream_options={"include_usage": False})
    assert options(fake) == [ASKED, {"include_usage": False}]


@pytest.mark.usefixtures("asking")
def test_the_stream_helper_shows_no_usage_either(fake: OpenAIFake) -> None:
    """`chat.completions.stream()` goes through `create`."""
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1") as client:
        completions = getattr(client.chat.completions, "stream", None) or client.beta.chat.completions.stream
        with completions(model="m", messages=[]) as stream:
            assert "content.delta" in [event.type for event in stream]
            assert stream.current_completion_snapshot.usage is None
    assert options(fake) == [ASKED]


@pytest.mark.usefixtures("asking")
def test_who_reads_the_wire_is_left_alone(fake: OpenAIFake) -> None:
    """The extra chunk could not be taken out of raw answers."""
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1") as client:
        assert len(list(client.chat.completions.with_raw_response.create(**STREAM).parse())) == 2
        with client.chat.completions.with_streaming_response.create(**STREAM) as response:
            assert "data: [DONE]" in list(response.iter_lines())
    assert options(fake) == [None, None]


@both
@pytest.mark.usefixtures("asking")
def test_a_host_that_refuses_the_option_is_asked_once(fake: OpenAIFake, ask: Ask) -> None:
    """A compatible host's 400 is our doing: the request goes out as it was, and so do all that follow."""
    fake.refuses_stream_options = True
    assert len(ask(fake)) == 2
    assert options(fake) == [ASKED, None]


@pytest.mark.usefixtures("asking")
def test_what_a_host_refuses_is_remembered_by_model(fake: OpenAIFake) -> None:
    """A gateway speaks for many hosts; the one that took the option before is believed, unless it names the option."""
    fake.refuses_stream_options = True
    with openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as client:
        for model in ("m", "m", "other"):
            list(client.chat.completions.create(**{**STREAM, "model": model}))
        assert options(fake) == [ASKED, None, None, ASKED, None]
        fake.refuses_stream_options = False
        list(client.chat.completions.create(**{**STREAM, "model": "third"}))
        fake.refuses_stream_options = True
        list(client.chat.completions.create(**{**STREAM, "model": "third"}))
    assert options(fake)[5:] == [ASKED, ASKED, None]


@both
@pytest.mark.usefixtures("asking")
def test_a_fault_of_the_applications_own_is_raised_as_before(fake: OpenAIFake, ask: Ask) -> None:
    """Tried once more where it might have been ours; the exception is the one of the application's own request."""
    fake.refuse_next = [400, 400]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(fake)
    assert not isinstance(caught.value.__context__, openai.OpenAIError), "the first refusal left no trace"
    assert fake.request_count == 2
    ask(fake)
    fake.refuse_next = [400]
    with pytest.raises(openai.BadRequestError):
        ask(fake)
    fake.refuse_next = [429]
    with pytest.raises(openai.RateLimitError):
        ask(fake)
    assert fake.request_count == 2 + 1 + 1 + 1, "this host takes the option: its refusals mean something else"


def test_instrumenting_again_lies_outside_what_came_since(fake: OpenAIFake, asking: StreamUsageInstrumentor) -> None:
    """Another instrumentation that wraps later still reads the usage, once the hook has been run."""
    seen: list[Any] = []

    def reading(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        stream = wrapped(*args, **kwargs)

        def read() -> Iterator[Any]:
            for chunk in stream:
                seen.append(chunk.usage)
                yield chunk

        return read()

    before = vars(Completions)["create"]
    wrapt.wrap_function_wrapper("openai.resources.chat.completions.completions", "Completions.create", reading)
    asking.instrument()
    try:
        assert len(chunks(fake)) == 2
        assert [usage.total_tokens for usage in seen if usage is not None] == [9]
    finally:
        asking.uninstrument()
        Completions.create = before


def test_the_variable_counts_by_hand_as_well(fake: OpenAIFake, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OpenAIAudioInstrumentor().instrument()` is enough, and takes it off again."""
    monkeypatch.setenv("CALLFARE_INCLUDE_USAGE", "1")
    instrumentor = OpenAIAudioInstrumentor()
    instrumentor.instrument()
    chunks(fake)
    instrumentor.uninstrument()
    chunks(fake)
    assert options(fake) == [ASKED, None]
