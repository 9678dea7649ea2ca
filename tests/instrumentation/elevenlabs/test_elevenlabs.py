"""ElevenLabs' real SDK 2.x against the fake: what the spans say is what the fake received."""

import asyncio
import base64
import enum
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from elevenlabs import VoiceSettings
from elevenlabs.client import AsyncElevenLabs, ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.environment import ElevenLabsEnvironment
from elevenlabs.errors import UnprocessableEntityError
from opentelemetry.trace import StatusCode
from websockets.exceptions import InvalidStatus

from callfare import attributes as names
from callfare.calls.session import reporter
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.instrumentation.releases import skip_where_older_lacks
from tests.support.waiting import PATIENCE_SECONDS, wait_until

TEXT = "Héllo wörld 👋🏽"  # 14 code points, more UTF-16 units, more bytes
OPTIONS = {"voice_id": "v1", "text": TEXT, "model_id": "eleven_flash_v2_5", "output_format": "pcm_16000"}

# Older releases cannot do without settings here.
SETTINGS = {"voice_settings": VoiceSettings(stability=0.5)}


@pytest.fixture
def fake() -> Iterator[ElevenLabsFake]:
    with ElevenLabsFake() as server:
        yield server


@pytest.fixture
def instrumented(spans) -> Iterator[None]:
    instrumentor = ElevenLabsInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


def here(fake: ElevenLabsFake) -> dict[str, object]:
    """Where the fake listens: older releases force https onto `base_url`, newer ones know only fixed environments."""
    if issubclass(ElevenLabsEnvironment, enum.Enum):
        return {"base_url": fake.url}
    return {"environment": ElevenLabsEnvironment(base=fake.url, wss=fake.ws_url)}


@pytest.fixture
def client(fake) -> Iterator[ElevenLabs]:
    made = ElevenLabs(api_key="k", **here(fake))
    made.text_to_speech._ws_base_url = fake.ws_url  # the SDK forces wss
    with made._client_wrapper.httpx_client.httpx_client:
        yield made


def in_async(fake: ElevenLabsFake, use: Callable) -> object:
    """Run one coroutine with an asynchronous client."""

    async def run() -> object:
        client = AsyncElevenLabs(api_key="k", **here(fake))
        async with client._client_wrapper.httpx_client.httpx_client:
            return await use(client)

    return asyncio.run(run())


@pytest.mark.parametrize("method", ["convert", "stream"])
@pytest.mark.parametrize("is_async", [False, True])
def test_speech_records_what_was_sent_and_what_the_vendor_metered(  # noqa: PLR0917 - fixtures
    fake, spans, instrumented, client, method, is_async
) -> None:
    """One span with code points, credits, seconds of the audio, and the vendor's id."""

    async def speak(client: AsyncElevenLabs) -> bytes:
        return b"".join([chunk async for chunk in getattr(client.text_to_speech, method)(**OPTIONS)])

    audio = in_async(fake, speak) if is_async else b"".join(getattr(client.text_to_speech, method)(**OPTIONS))
    assert len(audio) == 4 * 32_000
    found = spans.only
    assert found.pop(names.PRODUCER_ID)
    assert found.pop(names.PRODUCER_SEQUENCE)
    assert found == {
        names.OPERATION_NAME: "text_to_speech",
        names.PROVIDER_NAME: "elevenlabs",
        names.REQUEST_MODEL: "eleven_flash_v2_5",
        names.SERVER_ADDRESS: "127.0.0.1",
        names.OUTPUT_TYPE: "speech",
        names.SPEECH_VOICE: "v1",
        names.HTTP_STATUS_CODE: 200,
        names.RESPONSE_ID: "r-1",
        names.INPUT_CHARACTERS: fake.characters,
        names.BILLED_QUANTITY: 14.0,
        names.BILLED_UNIT: "credits",
        names.AUDIO_OUTPUT_SECONDS: 4.0,
        names.USAGE_SOURCE: "vendor_header",
    }
    assert fake.characters == 14


def test_a_generator_never_started_costs_nothing(fake, spans, instrumented, client) -> None:
    """The SDK sends at the first `next`: before that there is no request and no span."""
    client.text_to_speech.convert(**OPTIONS)
    assert fake.request_count == 0
    assert spans.all == ()


@pytest.mark.parametrize("how", ["close", "collected", "aclose", "cancelled"])
def test_barge_in_bills_the_text_sent(fake, spans, instrumented, client, how) -> None:
    """However the application stops listening, the whole text was sent: interrupted, not failed."""
    if how in {"close", "collected"}:
        stream = client.text_to_speech.stream(**OPTIONS)
        next(stream)
        if how == "close":
            stream.close()
        del stream
    else:

        async def leave(client: AsyncElevenLabs) -> None:
            stream = client.text_to_speech.stream(**OPTIONS)
            await anext(stream)
            if how == "cancelled":
                with pytest.raises(asyncio.CancelledError):
                    await stream.athrow(asyncio.CancelledError())
            else:
                await stream.aclose()

        in_async(fake, leave)
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert spans.all[0].status.status_code is StatusCode.UNSET


def test_a_break_in_the_middle_is_an_error_and_still_billed(fake, spans, instrumented, client) -> None:
    """The application sees the SDK's own exception; the span keeps the characters and is no refusal."""
    fake.break_after_chunks = 2
    with pytest.raises(Exception, match="peer closed") as caught:
        list(client.text_to_speech.convert(**OPTIONS))
    assert spans.only[names.ERROR_TYPE].endswith(type(caught.value).__name__)
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert names.CALL_REFUSED not in spans.only


def test_a_refused_call_says_so(fake, spans, instrumented, client) -> None:
    """401: the SDK's error unchanged, the span marked as costing nothing."""
    fake.refuse_next = [401]
    with pytest.raises(ApiError) as caught:
        list(client.text_to_speech.convert(**OPTIONS))
    assert caught.value.status_code == spans.only[names.HTTP_STATUS_CODE] == 401
    assert spans.only[names.CALL_REFUSED] is True


def test_raw_response_is_the_same_call(fake, spans, instrumented, client) -> None:
    """`with_raw_response` is the raw client itself: one span, headers at hand for both."""
    with client.text_to_speech.with_raw_response.convert(**OPTIONS) as raw:
        assert raw.headers["character-cost"] == "14"
        assert len(b"".join(raw.data)) == 4 * 32_000
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert names.FINISH_REASONS not in spans.only


def test_timestamps_dialogue_and_effects(fake, spans, instrumented, client) -> None:
    """The other paid methods: each is one span with its characters or credits."""
    client.text_to_speech.convert_with_timestamps(voice_id="v1", text=TEXT)
    list(client.text_to_speech.stream_with_timestamps(voice_id="v1", text=TEXT))
    skip_where_older_lacks("elevenlabs", "dialogues", has=hasattr(client, "text_to_dialogue"))
    list(client.text_to_dialogue.convert(inputs=[{"text": "ab", "voice_id": "1"}, {"text": "cdé", "voice_id": "2"}]))
    list(client.text_to_sound_effects.convert(text="boom", duration_seconds=2.5))
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == 14 + 14 + 5
    assert [found[names.REQUEST_MODEL] for found in spans.attributes] == [
        "eleven_multilingual_v2", "eleven_multilingual_v2", "eleven_v3", "eleven_text_to_sound_v2",
    ]  # fmt: skip
    effect = spans.attributes[-1]
    assert (effect[names.BILLED_QUANTITY], effect[names.AUDIO_OUTPUT_SECONDS]) == (100.0, 2.5)
    assert names.INPUT_CHARACTERS not in effect


def test_dialogues_with_timestamps_are_counted(fake, spans, instrumented, client) -> None:
    """Whole and streamed, blocking and not: the texts of all speakers."""
    has_timestamps = hasattr(getattr(client, "text_to_dialogue", None), "convert_with_timestamps")
    skip_where_older_lacks("elevenlabs", "timestamps of dialogues", has=has_timestamps)
    inputs = [{"text": "ab", "voice_id": "1"}, {"text": "cdé", "voice_id": "2"}]
    client.text_to_dialogue.convert_with_timestamps(inputs=inputs)
    list(client.text_to_dialogue.stream_with_timestamps(inputs=inputs))

    async def speak(client: AsyncElevenLabs) -> None:
        await client.text_to_dialogue.convert_with_timestamps(inputs=inputs)
        async for _ in client.text_to_dialogue.stream_with_timestamps(inputs=inputs):
            pass

    in_async(fake, speak)
    assert spans.total(names.INPUT_CHARACTERS) == fake.characters == 5 * 4
    assert [found[names.BILLED_QUANTITY] for found in spans.attributes] == [5.0] * 4


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ConnectionClosed.code is deprecated:DeprecationWarning")
def test_realtime_speech_counts_the_chunks_on_the_wire(fake, spans, instrumented, client) -> None:
    """The chunker's blanks are sent and counted; the opening and closing messages are not."""
    pieces = iter(["Hello, ", "Jörg. ", "How are you"])
    audio = list(client.text_to_speech.convert_realtime(voice_id="v1", text=pieces, model_id="m", **SETTINGS))
    assert b"".join(audio) == b"\1" * 100 * len(fake.texts)
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == len("".join(fake.texts))


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")
def test_realtime_barge_in_counts_only_what_was_sent(fake, spans, instrumented, client) -> None:
    """Text still in the application's buffer never reached the vendor."""

    def endless() -> Iterator[str]:
        while True:
            yield "word. "

    stream = client.text_to_speech.convert_realtime(voice_id="v1", text=endless(), model_id="m", **SETTINGS)
    next(stream)
    stream.close()
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)
    # The fake reads in a thread of its own, and need not read the very last frame when the socket is closed.
    wait_until("what was sent", lambda: spans.only[names.INPUT_CHARACTERS] - fake.characters <= len("word. "))
    assert spans.only[names.INPUT_CHARACTERS] >= fake.characters


class Busy(Exception):
    """What a language model's SDK raises when it is told to come back later."""

    status_code = 429


@pytest.mark.parametrize("error", [Busy(), TypeError("the application's own")])
@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")
def test_realtime_text_that_fails_was_sent_all_the_same(fake, spans, instrumented, client, error) -> None:
    """The error is the application's text's, not the vendor's: nobody refused what was sent before."""
    fake.is_slow_to_speak = True

    def failing() -> Iterator[str]:
        yield "One, "
        yield "two, "
        yield "three."
        raise error

    with pytest.raises(type(error)):
        list(client.text_to_speech.convert_realtime(voice_id="v1", text=failing(), model_id="m", **SETTINGS))
    assert spans.only[names.INPUT_CHARACTERS] == len("One, two, ")
    assert names.CALL_REFUSED not in spans.only


def test_transcription_takes_the_vendors_seconds(fake, spans, instrumented, client, wav) -> None:
    """The answer's duration wins over the measured upload; channels stand beside it."""
    client.speech_to_text.convert(model_id="scribe_v2", file=wav(2))
    takes = inspect.signature(client.speech_to_text.convert).parameters
    skip_where_older_lacks("elevenlabs", "channels", has="use_multi_channel" in takes)
    client.speech_to_text.convert(model_id="scribe_v2", file=wav(2), use_multi_channel=True)

    async def listen(client: AsyncElevenLabs) -> object:
        return await client.speech_to_text.convert(model_id="scribe_v2", file=wav(2))

    in_async(fake, listen)
    assert [found[names.AUDIO_INPUT_SECONDS] for found in spans.attributes] == [7.25, 5.5, 7.25]
    assert [found[names.AUDIO_CHANNELS] for found in spans.attributes] == [1, 2, 1]
    assert {found[names.USAGE_SOURCE] for found in spans.attributes} == {"vendor_body"}


def test_a_combined_transcript_counts_every_channel(fake, spans, instrumented, client, wav) -> None:
    """One transcript of all channels: the upload tells how many there are, else the words do."""
    takes = inspect.signature(client.speech_to_text.convert).parameters
    skip_where_older_lacks("elevenlabs", "combined channels", has="multichannel_output_style" in takes)
    combined = {"model_id": "scribe_v2", "use_multi_channel": True, "multichannel_output_style": "combined"}
    client.speech_to_text.convert(**combined, file=wav(2, channels=3))
    client.speech_to_text.convert(**combined, file=b"OggS of two channels")
    client.speech_to_text.convert(model_id="scribe_v2", file=wav(2, channels=3))  # one transcript of the whole
    assert [found[names.AUDIO_CHANNELS] for found in spans.attributes] == [3, 2, 1]


def test_surcharges_of_a_transcription_are_named(fake, spans, instrumented, client, wav) -> None:
    """By their names alone, not a key term of the caller's; diarisation is included in the price."""
    takes = inspect.signature(client.speech_to_text.convert).parameters
    skip_where_older_lacks("elevenlabs", "key terms", has="keyterms" in takes)
    client.speech_to_text.convert(model_id="scribe_v2", file=wav(2), diarize=True)
    asked = {"keyterms": ["canary"], "entity_detection": "pii"}
    client.speech_to_text.convert(model_id="scribe_v2", file=wav(2), **asked)
    assert [found.get(names.PAID_EXTRAS) for found in spans.attributes] == [None, "entity_detection,keyterms"]
    assert "canary" not in str(spans.attributes)


def test_voice_conversion_is_measured_by_what_goes_in(fake, spans, instrumented, client, wav) -> None:
    """Seconds of the WAV that was sent, and the vendor's credits."""
    list(client.speech_to_speech.convert(voice_id="v1", audio=wav(2), model_id="eleven_multilingual_sts_v2"))
    assert fake.audio_bytes == len(wav(2))
    assert spans.only[names.OPERATION_NAME] == "speech_to_speech"
    assert (spans.only[names.AUDIO_INPUT_SECONDS], spans.only[names.BILLED_QUANTITY]) == (2.0, 33.0)


def test_voice_conversion_names_the_model_that_the_vendor_takes(fake, spans, instrumented, client, wav) -> None:
    """Without a model no price is found, though the credits are known."""
    list(client.speech_to_speech.convert(voice_id="v1", audio=wav(2)))
    assert spans.only[names.REQUEST_MODEL] == "eleven_english_sts_v2"


def realtime_scribe() -> Any:
    """The SDK's module of the realtime recogniser."""
    has_scribe = find_spec("elevenlabs.realtime") is not None and find_spec("elevenlabs.realtime.scribe") is not None
    skip_where_older_lacks("elevenlabs", "realtime recogniser", has=has_scribe)
    return import_module("elevenlabs.realtime.scribe")


def test_realtime_transcription_reports_the_audio_sent(fake, spans, instrumented) -> None:
    """The session's deltas add up to the bytes the fake heard, and the last one is closed."""
    scribe = realtime_scribe()

    async def listen(client: AsyncElevenLabs) -> None:
        client.speech_to_text.realtime.base_url = fake.ws_url
        connection = await client.speech_to_text.realtime.connect(
            {
                "model_id": "scribe_v2_realtime",
                "audio_format": scribe.AudioFormat.PCM_16000,
                "sample_rate": 16_000,
                "keyterms": ["canary"],
            }
        )
        done = asyncio.Event()
        connection.on("committed_transcript", lambda _: done.set())
        for size in (3200, 3201, 3202):
            await connection.send({"audio_base_64": base64.b64encode(b"\0" * size).decode()})
        await connection.commit()
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
        await connection.close()

    in_async(fake, listen)
    assert fake.audio_bytes == 3200 + 3201 + 3202
    assert float(spans.total(names.AUDIO_INPUT_SECONDS)) == fake.audio_bytes / 32_000
    assert spans.attributes[-1][names.SESSION_STATE] == "closed"
    assert {found[names.PAID_EXTRAS] for found in spans.attributes} == {"keyterms"}
    assert not reporter()._due_at_seconds


def test_a_refused_recogniser_is_one_free_span(fake, spans, instrumented) -> None:
    """401 at the handshake; options that the SDK refuses itself are no call."""
    scribe = realtime_scribe()
    good = {"model_id": "scribe_v2_realtime", "audio_format": scribe.AudioFormat.PCM_16000, "sample_rate": 16_000}

    async def listen(client: AsyncElevenLabs) -> None:
        client.speech_to_text.realtime.base_url = fake.ws_url
        with pytest.raises(ValueError, match="sample_rate"):
            await client.speech_to_text.realtime.connect({**good, "sample_rate": 0})
        fake.refuse_next = [401]
        with pytest.raises(InvalidStatus):
            await client.speech_to_text.realtime.connect(good)

    in_async(fake, listen)
    assert spans.only[names.CALL_REFUSED] is True
    assert spans.only[names.REQUEST_MODEL] == "scribe_v2_realtime"


def test_results_are_the_same_without_instrumentation(fake, spans, client) -> None:
    """Bytes, types and exceptions do not depend on us."""

    def outcomes() -> list[object]:
        fake.refuse_next = []
        seen: list[object] = [b"".join(client.text_to_speech.convert(**OPTIONS))]
        seen.append(type(client.text_to_speech.convert(**OPTIONS)))
        fake.refuse_next = [422]
        try:
            list(client.text_to_speech.stream(**OPTIONS))
        except UnprocessableEntityError as error:
            seen.append((error.status_code, str(error.body)))
        for method, wrong in (("convert", {"text": TEXT}), ("convert_realtime", {"voice_id": "v1"})):
            try:
                getattr(client.text_to_speech, method)(**wrong)
            except TypeError as error:
                seen.append(str(error))
        return seen

    plain = outcomes()
    instrumentor = ElevenLabsInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        watched = outcomes()
    finally:
        instrumentor.uninstrument()
    assert len(plain) == 5
    assert watched == plain
    assert outcomes() == plain
