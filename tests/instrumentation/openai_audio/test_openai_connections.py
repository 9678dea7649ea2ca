"""OpenAI's connections: realtime, as it is and in beta, live sessions and translations, however they are read."""

import asyncio
import base64
import gc
import importlib.util
import json
from typing import Any

import openai
import pytest
from opentelemetry import trace

from callfare import attributes as names
from tests.support.recording import until

pytestmark = [
    pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning"),  # the SDK's own business
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openai"),  # beta
]
needs_live = pytest.mark.skipif(importlib.util.find_spec("openai.resources.live") is None, reason="newer than this SDK")

USAGE = {
    "total_tokens": 300, "input_tokens": 200, "output_tokens": 100,
    "input_token_details": {
        "text_tokens": 50, "audio_tokens": 150, "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 24, "audio_tokens": 40},
    },
    "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
}  # fmt: skip
PCM = b"\0\1" * 4_800  # 0.2 s at 24 kHz


def sync_client(fake) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", websocket_base_url=f"{fake.ws_url}/v1")


def async_client(fake) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1", websocket_base_url=f"{fake.ws_url}/v1")


def done(identity: str, status: str = "completed", usage: Any = USAGE) -> dict:
    response = {"id": identity, "status": status, "usage": usage}
    return {"type": "response.done", "event_id": f"e-{identity}", "response": response}


def transcribed(usage: dict, part: int = 0) -> dict:
    return {
        "type": "conversation.item.input_audio_transcription.completed", "event_id": "5", "item_id": "item_7",
        "content_index": part, "transcript": "the secret words", "usage": usage,
    }  # fmt: skip


def created(model: str = "gpt-realtime", transcribed_by: str = "whisper-1") -> dict:
    session = {"type": "realtime", "model": model, "audio": {"input": {"transcription": {"model": transcribed_by}}}}
    return {"type": "session.created", "event_id": "1", "session": session}


def test_realtime_responses_and_transcripts_are_spans_of_their_own(fake, spans, instrumented) -> None:
    """Each response with its audio tokens, a cut-off one too, and the caller's speech at its own model."""
    fake.realtime_events = [
        created(),
        {"type": "response.created", "event_id": "2", "response": {"id": "resp_1"}},
        done("resp_1"),
        done("resp_2", "cancelled"),
        transcribed({"type": "duration", "seconds": 3.5}),
    ]
    with (
        sync_client(fake) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        received = [connection.recv().type for _ in fake.realtime_events]
    assert received == [event["type"] for event in fake.realtime_events]
    first, second, transcription = spans.attributes
    assert first[names.REQUEST_MODEL] == "gpt-realtime"
    assert (first[names.INPUT_TOKENS], first[names.INPUT_AUDIO_TOKENS], first[names.CACHE_READ_TOKENS]) == (
        200,
        150,
        64,
    )
    assert (first[names.CACHE_AUDIO_READ_TOKENS], first[names.OUTPUT_AUDIO_TOKENS]) == (40, 80)
    assert second[names.FINISH_REASONS] == ("interrupted",)
    assert second[names.OUTPUT_TOKENS] == 100
    assert transcription[names.OPERATION_NAME] == "speech_to_text"
    assert (transcription[names.REQUEST_MODEL], transcription[names.AUDIO_INPUT_SECONDS]) == ("whisper-1", 3.5)


@pytest.mark.parametrize("how", ["recv", "recv_bytes", "iteration", "recv_bytes and parse_event"])
@pytest.mark.parametrize("is_async", [False, True])
def test_every_way_to_receive_counts_once(fake, spans, instrumented, how, is_async) -> None:
    """Also where the application takes the bytes and reads the JSON itself."""
    fake.realtime_events = [created(), {"type": "response.output_audio.delta", "delta": "AAAA"}, done("resp_1")]
    count = len(fake.realtime_events)

    async def listen() -> list[str]:
        async with async_client(fake) as client, client.realtime.connect(model="gpt-realtime") as connection:
            if how == "recv":
                return [(await connection.recv()).type for _ in range(count)]
            if how == "iteration":
                return [event.type async for event in connection]
            messages = [await connection.recv_bytes() for _ in range(count)]
            if how == "recv_bytes":
                return [json.loads(message)["type"] for message in messages]
            return [connection.parse_event(message).type for message in messages]

    def listen_sync() -> list[str]:
        with sync_client(fake) as client, client.realtime.connect(model="gpt-realtime") as connection:
            if how == "recv":
                return [connection.recv().type for _ in range(count)]
            if how == "iteration":
                return [event.type for event in connection]
            messages = [connection.recv_bytes() for _ in range(count)]
            if how == "recv_bytes":
                return [json.loads(message)["type"] for message in messages]
            return [connection.parse_event(message).type for message in messages]

    kinds = asyncio.run(listen()) if is_async else listen_sync()
    assert kinds == [event["type"] for event in fake.realtime_events]
    assert (spans.only[names.INPUT_TOKENS], spans.only[names.RESPONSE_ID]) == (200, "resp_1")


def test_the_beta_is_counted_as_well(fake, spans, instrumented) -> None:
    """Its session names the transcription's model in another place."""
    session = {"model": "gpt-4o-realtime-preview", "input_audio_transcription": {"model": "gpt-4o-transcribe"}}
    fake.realtime_events = [
        {"type": "session.created", "event_id": "1", "session": session},
        done("resp_1"),
        transcribed(
            {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "input_token_details": {"audio_tokens": 28}}
        ),
    ]
    with sync_client(fake) as client, client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        received = [connection.recv().type for _ in fake.realtime_events]
    assert received == [event["type"] for event in fake.realtime_events]
    answer, utterance = spans.attributes
    assert (answer[names.REQUEST_MODEL], answer[names.OUTPUT_AUDIO_TOKENS]) == ("gpt-4o-realtime-preview", 80)
    assert (utterance[names.REQUEST_MODEL], utterance[names.INPUT_AUDIO_TOKENS]) == ("gpt-4o-transcribe", 28)


def test_a_session_that_only_transcribes_has_its_model(fake, spans, instrumented) -> None:
    """There is no answering model; two parts of one item are two calls."""
    session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    seconds = {"type": "duration", "seconds": 2.25}
    fake.realtime_events = [
        {"type": "session.updated", "event_id": "1", "session": session}, transcribed(seconds), transcribed(seconds, 1),
    ]  # fmt: skip
    with sync_client(fake) as client, client.realtime.connect(model="") as connection:
        for _ in fake.realtime_events:
            connection.recv()
    assert {each[names.REQUEST_MODEL] for each in spans.attributes} == {"gpt-realtime-whisper"}
    assert spans.total(names.AUDIO_INPUT_SECONDS) == 2 * 2.25
    assert [each[names.RESPONSE_ID] for each in spans.attributes] == ["item_7", "item_7/1"]


def live_events(model: str = "gpt-live-1") -> list[dict]:
    session = {"id": "live_1", "model": model, "status": "active", "expires_at": 1}
    tokens = {
        "input_tokens": 500, "output_tokens": 40, "total_tokens": 540,
        "input_tokens_details": {"cached_tokens": 400}, "output_tokens_details": {"reasoning_tokens": 8},
    }  # fmt: skip
    answer = {"id": "resp_9", "model": "gpt-5-mini", "usage": tokens}
    decision = {"model": "gpt-5-nano", "usage": tokens, "answers": []}
    return [
        {"type": "session.started", "event_id": "1", "session": session},
        {"type": "session.usage.updated", "event_id": "2", "usage": {"seconds": 4.5}},
        {"type": "session.usage.updated", "event_id": "3", "usage": {"seconds": 9.5}},
        {"type": "response.event", "event": {"type": "response.created", "response": {"id": "resp_9"}}},
        {"type": "response.event", "event": {"type": "response.completed", "response": answer}},
        {"type": "decision.event", "event": {"type": "decision.completed", "decision": decision}},
        {"type": "session.closed", "reason": "expired", "session": session, "usage": {"seconds": 12.25}},
    ]  # fmt: skip


@needs_live
@pytest.mark.parametrize("how", ["primary", "sideband"])
def test_a_live_session_is_billed_by_its_last_total(fake, spans, instrumented, how) -> None:
    """Totals are not summed; what it handed on to other models is billed by their tokens."""
    fake.realtime_events = live_events()
    with sync_client(fake) as client:
        live = client.live.connect() if how == "primary" else client.live.sideband.connect(session_id="live_1")
        with live as connection:
            received = [connection.recv().type for _ in fake.realtime_events]
    assert received == [event["type"] for event in fake.realtime_events]
    delegated, decided, spoken = spans.attributes
    assert (delegated[names.REQUEST_MODEL], delegated[names.RESPONSE_ID]) == ("gpt-5-mini", "resp_9")
    assert (delegated[names.INPUT_TOKENS], delegated[names.CACHE_READ_TOKENS]) == (500, 400)
    assert (decided[names.REQUEST_MODEL], decided[names.REASONING_TOKENS]) == ("gpt-5-nano", 8)
    assert spoken[names.OPERATION_NAME] == "voice_agent"
    assert (spoken[names.REQUEST_MODEL], spoken[names.SESSION_ID]) == ("gpt-live-1", "live_1")
    assert spoken[names.AUDIO_INPUT_SECONDS] == spoken[names.SESSION_VENDOR_TOTAL_SECONDS] == 12.25


@needs_live
@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_a_live_session_without_a_goodbye_has_what_was_stated(fake, spans, instrumented, how) -> None:
    """The application hangs up, or lets go of the connection without a word."""
    fake.realtime_events = live_events()[:3]
    with sync_client(fake) as client:
        manager = client.live.connect()
        connection = manager.enter()
        for _ in fake.realtime_events:
            connection.recv()
        if how == "closed":
            connection.close()
        else:
            connection._connection.close()
        del manager, connection
        gc.collect()
    assert spans.only[names.AUDIO_INPUT_SECONDS] == 9.5
    assert spans.only[names.SESSION_STATE] == ("closed" if how == "closed" else "lost")


@needs_live
@pytest.mark.parametrize("is_async", [False, True])
def test_a_translation_is_billed_by_the_audio_sent(fake, spans, instrumented, is_async) -> None:
    """No event states usage: the bytes do."""
    sound = base64.b64encode(PCM).decode()

    async def speak() -> None:
        async with (
            async_client(fake) as client,
            client.realtime.translations.connect(model="gpt-realtime-translate") as connection,
        ):
            await connection.recv()
            for _ in range(5):
                await connection.session.input_audio_buffer.append(audio=sound)
            await connection.session.close()
            await connection.recv()

    if is_async:
        asyncio.run(speak())
    else:
        with (
            sync_client(fake) as client,
            client.realtime.translations.connect(model="gpt-realtime-translate") as connection,
        ):
            connection.recv()
            for _ in range(5):
                connection.session.input_audio_buffer.append(audio=sound)
            connection.session.close()
            connection.recv()
    until(lambda: fake.translated_bytes == 5 * len(PCM))
    assert spans.only[names.AUDIO_INPUT_SECONDS] == fake.translated_bytes / 48_000 == 1.0
    assert (spans.only[names.REQUEST_MODEL], spans.only[names.SESSION_ID]) == ("gpt-realtime-translate", "sess_t")
    assert spans.only[names.SESSION_STATE] == "closed"


@needs_live
def test_a_translation_that_begins_before_it_is_greeted_has_its_model(fake, spans, instrumented) -> None:
    """The application speaks at once, and hears of its session later."""
    sound = base64.b64encode(PCM).decode()
    with (
        sync_client(fake) as client,
        client.realtime.translations.connect(model="gpt-realtime-translate") as connection,
    ):
        connection.session.input_audio_buffer.append(audio=sound)
        connection.recv()
    assert names.REQUEST_MODEL not in spans.only
    assert spans.only[names.RESPONSE_MODEL] == "gpt-realtime-translate"


@pytest.mark.expects_internal_errors
@pytest.mark.parametrize("event", [["no event"], {"type": "response.done"}, {"type": "session.created", "session": 7}])
def test_messages_of_another_shape_reach_the_application(fake, spans, instrumented, event) -> None:
    """What the vendor says is the application's, whether we understand it or not."""
    fake.realtime_events = [event]
    with sync_client(fake) as client, client.realtime.connect(model="gpt-realtime") as connection:
        assert json.loads(connection.recv_bytes()) == event
    assert trace.get_current_span() is trace.INVALID_SPAN
