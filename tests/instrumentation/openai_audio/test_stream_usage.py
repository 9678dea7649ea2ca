"""CALLFARE_INCLUDE_USAGE: the vendor is asked for usage, and the application notices nothing, come what may."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
import wrapt
from aiohttp import web
from openai.resources.chat.completions.completions import Completions

from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor, _usage_hosts
from callfare.instrumentation.openai_audio._stream_usage import StreamUsageInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake

STREAM = {"model": "m", "messages": [], "stream": True}
ASKED = {"include_usage": True}


@pytest.fixture
def fake() -> Iterator[OpenAIFake]:
    with OpenAIFake() as server:
        yield server


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamUsageInstrumentor]:
    monkeypatch.setattr(_usage_hosts, "KNOWN_HOSTS", _usage_hosts.KNOWN_HOSTS | {"127.0.0.1"})
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
    assert [chunk.to_dict() for chunk in asked] == [chunk.to_dict() for chunk in plain]
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


@pytest.mark.parametrize(("variable", "asked"), [(None, None), ("1", ASKED), ("0", None), ("off", None)])
def test_the_variable_counts_by_hand_as_well(
    fake: OpenAIFake, monkeypatch: pytest.MonkeyPatch, variable: str | None, asked: dict[str, bool] | None
) -> None:
    """`OpenAIAudioInstrumentor().instrument()` is enough, and takes it off again. Nobody knows this host."""
    if variable is not None:
        monkeypatch.setenv("CALLFARE_INCLUDE_USAGE", variable)
    instrumentor = OpenAIAudioInstrumentor()
    instrumentor.instrument()
    chunks(fake)
    instrumentor.uninstrument()
    chunks(fake)
    assert options(fake) == [asked, None]


@both
def test_a_known_host_is_asked_unless_the_operator_forbids_it(
    fake: OpenAIFake, asking: StreamUsageInstrumentor, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    """No variable is needed; 0 leaves every request as it is."""
    del asking
    ask(fake)
    monkeypatch.setenv("CALLFARE_INCLUDE_USAGE", "0")
    ask(fake)
    assert options(fake) == [ASKED, None]


@pytest.mark.parametrize(
    ("address", "is_known"),
    [
        ("https://api.openai.com/v1/", True),
        ("https://EU.api.openai.com/v1", True),
        ("https://api.groq.com:443/openai/v1/", True),
        ("https://api.mistral.ai/v1", False),
        ("https://me.openai.azure.com/openai/deployments/d", False),
        ("https://api.openai.com.example.org/v1", False),
        ("http://127.0.0.1:4000", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_hosts_that_are_known_to_take_the_option(address: str, is_known: bool) -> None:
    """Mistral refuses it, a proxy of one's own may, and a look-alike is nobody."""
    assert _usage_hosts.takes_include_usage(address) is is_known


WEATHER = {"type": "function", "function": {"name": "weather", "strict": True, "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}}}  # fmt: skip


class Town(pydantic.BaseModel):
    """What the model is to answer."""

    city: str


class Talking(OpenAIFake):
    """Calls a tool where there is one, and answers in JSON where that is wanted."""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.chat_requests.append(asked)
        asks_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        deltas = [{"content": '{"city": '}, {"content": '"Rome"}'}]
        if asked.get("tools"):
            call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            more = {"index": 0, "function": {"arguments": '{"city": "Rome"}'}}
            deltas = [{"role": "assistant", "tool_calls": [call]}, {"tool_calls": [more]}]
        choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
        last = "tool_calls" if asked.get("tools") else "stop"
        choices.append([{"index": 0, "delta": {}, "finish_reason": last}])
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        body: list[dict[str, Any]] = [{"choices": each} | ({"usage": None} if asks_usage else {}) for each in choices]
        body += [{"choices": [], "usage": usage}] if asks_usage else []
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for each in body:
            await answer.write(f"data: {json.dumps(head | each)}\n\n".encode())
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer


def seen_by_the_application(server: OpenAIFake) -> list[Any]:
    """All that an application can see of streams: chunks, tools, structured answers, raw and streaming responses."""
    seen: list[Any] = []
    with openai.OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0) as client:
        completions = client.chat.completions
        seen.append([chunk.to_json() for chunk in completions.create(**STREAM)])
        with completions.create(**STREAM, tools=[WEATHER]) as stream:
            seen += [
                isinstance(stream, openai.Stream),
                stream.response.status_code,
                [each.to_dict() for each in stream],
            ]
        stream = completions.create(**STREAM, stream_options={"include_obfuscation": False})
        seen.append(next(stream).to_dict())
        stream.close()
        helper = getattr(completions, "stream", None) or client.beta.chat.completions.stream
        with helper(model="m", messages=[], response_format=Town) as answer:
            seen.append([event.type for event in answer])
            final = answer.get_final_completion()
            seen += [final.choices[0].message.parsed, final.usage, sorted(final.model_fields_set)]
        with helper(model="m", messages=[], tools=[WEATHER]) as answer:
            calls = answer.get_final_completion().choices[0].message.tool_calls or []
            seen.append([call.function.parsed_arguments for call in calls])
        raw = completions.with_raw_response.create(**STREAM)
        seen += [raw.status_code, [chunk.to_dict() for chunk in raw.parse()]]
        with completions.with_streaming_response.create(**STREAM) as response:
            seen.append(list(response.iter_lines()))
        with completions.with_streaming_response.create(**STREAM) as response:
            seen.append([chunk.to_dict() for chunk in response.parse()])
    return seen


async def seen_by_an_async_application(server: OpenAIFake) -> list[Any]:
    """The same for asyncio."""
    seen: list[Any] = []
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0) as client:
        completions = client.chat.completions
        seen.append([chunk.to_json() async for chunk in await completions.create(**STREAM)])
        async with await completions.create(**STREAM, tools=[WEATHER]) as stream:
            seen += [isinstance(stream, openai.AsyncStream), stream.response.status_code]
            seen.append([each.to_dict() async for each in stream])
        stream = await completions.create(**STREAM)
        seen.append((await anext(stream)).to_dict())
        await stream.close()
        helper = getattr(completions, "stream", None) or client.beta.chat.completions.stream
        async with helper(model="m", messages=[], response_format=Town) as answer:
            seen.append([event.type async for event in answer])
            final = await answer.get_final_completion()
            seen += [final.choices[0].message.parsed, final.usage, sorted(final.model_fields_set)]
        raw = await completions.with_raw_response.create(**STREAM)
        seen.append([chunk.to_dict() async for chunk in raw.parse()])
        async with completions.with_streaming_response.create(**STREAM) as response:
            seen.append([line async for line in response.iter_lines()])
    return seen


@pytest.mark.parametrize(
    "look", [seen_by_the_application, lambda server: asyncio.run(seen_by_an_async_application(server))]
)
def test_the_application_sees_what_it_would_have_seen(
    asking: StreamUsageInstrumentor, look: Callable[[OpenAIFake], list[Any]]
) -> None:
    """To the last member of every chunk: tools, structured answers, raw answers, and streams that are left early."""
    with Talking() as server:
        with_us = look(server)
        asking.uninstrument()
        asked_before = len(server.chat_requests)
        assert look(server) == with_us
        assert any(
            (each.get("stream_options") or {}).get("include_usage") for each in server.chat_requests[:asked_before]
        )
        assert not any("include_usage" in str(each) for each in server.chat_requests[asked_before:])
