"""OpenAI's real SDK against the fake: what the spans say is what the fake received."""

import asyncio
import io
import tempfile
import warnings
from pathlib import Path

import httpx
import openai
import pytest
from opentelemetry.trace import StatusCode

from callfare import attributes as names
from callfare.instrumentation.openai_audio import OpenAIAudioInstrumentor
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.support.recording import until

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
TEXT = "Héllo wörld 👋🏽"  # 14 code points, more UTF-16 units, more bytes


def sync_client(fake: OpenAIFake, **options) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url=f"{fake.url}/v1", **options)


def async_client(fake: OpenAIFake, **options) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1", **options)


def test_speech_records_the_code_points_that_were_sent(fake, spans, instrumented) -> None:
    """A plain call has the characters, the model, the voice and its status, and no duration of compressed audio."""
    with sync_client(fake) as client:
        answer = client.audio.speech.create(input=TEXT, model="tts-1", voice="alloy")
    assert len(answer.content) == 4 * 48_000
    found = spans.only
    assert found.pop(names.PRODUCER_ID)
    assert found.pop(names.PRODUCER_SEQUENCE) > 0
    assert found == {
        names.OPERATION_NAME: "text_to_speech",
        names.PROVIDER_NAME: "openai",
        names.REQUEST_MODEL: "tts-1",
        names.SERVER_ADDRESS: "127.0.0.1",
        names.OUTPUT_TYPE: "speech",
        names.SPEECH_VOICE: "alloy",
        names.HTTP_STATUS_CODE: 200,
        names.INPUT_CHARACTERS: 14,
        names.USAGE_SOURCE: "request",
    }
    assert fake.characters == 14
    assert type(found[names.INPUT_CHARACTERS]) is int


def test_speech_measures_pcm(fake, spans, instrumented) -> None:
    """Four pieces of one second each are four seconds of audio."""
    with sync_client(fake) as client:
        client.audio.speech.create(input=TEXT, model="gpt-4o-mini-tts", voice="alloy", response_format="pcm")
    assert spans.only[names.AUDIO_OUTPUT_SECONDS] == 4.0
    assert type(spans.only[names.AUDIO_OUTPUT_SECONDS]) is float


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        ("audio/mpeg", "constant.mp3", 27 * 576 / 24_000),  # what the API answers by default
        ("audio/opus", "speech.opus", 0.6),
        ("audio/aac", "adts.aac", 16 * 1024 / 24_000),
        ("audio/flac", "tone.flac", 0.6),
        ("application/octet-stream", "constant.mp3", 27 * 576 / 24_000),
        ("audio/mpeg", "", None),
    ],
)
def test_speech_is_as_long_as_its_frames(fake, spans, instrumented, answer, streams) -> None:
    """Whatever the format is called, its frames tell the length; what has no frames has none."""
    kind, name, seconds = answer
    body = (AUDIO / name).read_bytes() if name else bytes(3_000)
    fake.spoken = (kind, body)
    asked = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "alloy"}
    with sync_client(fake) as client:
        if streams:
            with client.audio.speech.with_streaming_response.create(**asked) as streamed:
                received = b"".join(streamed.iter_bytes())
        else:
            received = client.audio.speech.create(**asked).content
    assert received == body
    assert spans.only.get(names.AUDIO_OUTPUT_SECONDS) == seconds
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14


@pytest.mark.parametrize("form", ["mp3", "pcm"])
def test_events_of_speech_left_early_are_as_long_as_their_sound(fake, spans, instrumented, form) -> None:
    """Barge-in: the event with the tokens never comes, the sound so far has come."""
    fake.spoken = ("", (AUDIO / "constant.mp3").read_bytes() if form == "mp3" else bytes(48_000))
    asked = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "a", "stream_format": "sse", "response_format": form}
    with sync_client(fake) as client, client.audio.speech.with_streaming_response.create(**asked) as streamed:
        for line in streamed.iter_lines():
            if "done" in line:
                break
    counted = spans.only.get(names.OUTPUT_TOKENS)
    with sync_client(fake) as client, client.audio.speech.with_streaming_response.create(**asked) as streamed:
        lines = streamed.iter_lines()
        next(lines)
    left_early = spans.attributes[1]
    assert counted == 101
    assert left_early[names.FINISH_REASONS] == ("interrupted",)
    assert names.OUTPUT_TOKENS not in left_early
    assert 0 < left_early[names.AUDIO_OUTPUT_SECONDS] <= 1


def test_speech_nobody_listened_to_has_no_length(fake, spans, instrumented) -> None:
    """Left before the first sample: the vendor spoke all the same, and nothing says how long."""
    asked = {"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "a", "response_format": "pcm"}
    with sync_client(fake) as client, client.audio.speech.with_streaming_response.create(**asked):
        pass
    assert names.AUDIO_OUTPUT_SECONDS not in spans.only
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters


def test_raw_samples_are_known_by_what_was_asked_for(fake, spans, instrumented) -> None:
    """A proxy that calls every answer MP3 does not hide that samples were asked for."""
    fake.spoken = ("audio/mpeg", bytes(24_000))
    with sync_client(fake) as client:
        client.audio.speech.create(input=TEXT, model="gpt-4o-mini-tts", voice="alloy", response_format="pcm")
    assert spans.only[names.AUDIO_OUTPUT_SECONDS] == 0.5


def test_speech_left_early_is_as_long_as_what_was_heard(fake, spans, instrumented) -> None:
    """The application hears one piece of three: some frames, not all."""
    fake.spoken = ("audio/mpeg", (AUDIO / "constant.mp3").read_bytes())
    with (
        sync_client(fake) as client,
        client.audio.speech.with_streaming_response.create(input=TEXT, model="tts-1", voice="a") as streamed,
    ):
        next(streamed.iter_bytes(500))
    assert 0 < spans.only[names.AUDIO_OUTPUT_SECONDS] < 0.6
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)


@pytest.mark.parametrize("how", ["with_raw_response", "with_streaming_response"])
def test_raw_and_streaming_responses_are_one_span_each(fake, spans, instrumented, how) -> None:
    """The SDK's raw wrappers pass the same method: counted once, and the body reaches the application whole."""
    with sync_client(fake) as client:
        if how == "with_raw_response":
            raw = client.audio.speech.with_raw_response.create(
                input=TEXT, model="tts-1", voice="a", response_format="pcm"
            )
            body = raw.parse().content
        else:
            with client.audio.speech.with_streaming_response.create(
                input=TEXT, model="tts-1", voice="a", response_format="pcm"
            ) as streamed:
                assert spans.all == ()
                body = b"".join(streamed.iter_bytes())
    assert len(body) == 4 * 48_000
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert spans.only[names.AUDIO_OUTPUT_SECONDS] == 4.0
    assert names.FINISH_REASONS not in spans.only


def test_leaving_a_streamed_answer_early_bills_the_text_sent(fake, spans, instrumented) -> None:
    """A barge-in is an interrupted call with all its characters and no error."""
    with (
        sync_client(fake) as client,
        client.audio.speech.with_streaming_response.create(input=TEXT, model="tts-1", voice="a") as streamed,
    ):
        next(streamed.iter_bytes(1000))
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)
    assert spans.all[0].status.status_code is StatusCode.UNSET


def test_async_streamed_answer(fake, spans, instrumented) -> None:
    """The asynchronous twin measures the same."""

    async def speak() -> int:
        async with (
            async_client(fake) as client,
            client.audio.speech.with_streaming_response.create(
                input=TEXT, model="tts-1", voice="a", response_format="pcm"
            ) as streamed,
        ):
            return len(b"".join([piece async for piece in streamed.iter_bytes()]))

    assert asyncio.run(speak()) == 4 * 48_000
    assert spans.only[names.AUDIO_OUTPUT_SECONDS] == 4.0
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters


def test_speech_as_events_has_tokens(fake, spans, instrumented) -> None:
    """Only the SSE form states tokens, and audio is all of its output."""
    with sync_client(fake) as client:
        client.audio.speech.create(input=TEXT, model="gpt-4o-mini-tts", voice="a", stream_format="sse")
        with client.audio.speech.with_streaming_response.create(
            input=TEXT, model="gpt-4o-mini-tts", voice="a", stream_format="sse"
        ) as streamed:
            list(streamed.iter_lines())
    assert spans.total(names.INPUT_TOKENS) == fake.characters == 28
    assert [found[names.OUTPUT_AUDIO_TOKENS] for found in spans.attributes] == [101, 101]
    assert {found[names.USAGE_SOURCE] for found in spans.attributes} == {"vendor_body"}


def test_a_break_in_the_middle_is_billed_and_is_the_applications_to_see(fake, spans, instrumented) -> None:
    """The vendor's exception passes unchanged; the text was sent, so it is no refusal."""
    fake.break_after_chunks = 2
    with (
        sync_client(fake, max_retries=0) as client,
        pytest.raises(Exception, match=r"peer closed|incomplete") as caught,
        client.audio.speech.with_streaming_response.create(input=TEXT, model="tts-1", voice="a") as streamed,
    ):
        list(streamed.iter_bytes())
    assert spans.only[names.ERROR_TYPE].endswith(type(caught.value).__name__)
    assert spans.only[names.INPUT_CHARACTERS] == 14
    assert names.CALL_REFUSED not in spans.only
    assert spans.all[0].status.status_code is StatusCode.ERROR
    assert spans.all[0].status.description is None


def test_a_refused_call_says_so(fake, spans, instrumented) -> None:
    """401 before any output: error, status and the mark by which it costs nothing."""
    fake.refuse_next = [401]
    with sync_client(fake) as client, pytest.raises(openai.AuthenticationError):
        client.audio.speech.create(input=TEXT, model="tts-1", voice="a")
    assert spans.only[names.HTTP_STATUS_CODE] == 401
    assert spans.only[names.CALL_REFUSED] is True
    assert spans.only[names.ERROR_TYPE] == "openai.AuthenticationError"


def test_no_connection_is_a_refusal_and_a_timeout_is_not(fake, spans, instrumented) -> None:
    """Nobody was reached, so nobody bills; a time-out may have been billed."""
    with (
        openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.audio.speech.create(input=TEXT, model="tts-1", voice="a")
    fake.never_answers = True
    late = httpx.Timeout(60, read=1)  # for the answer alone: all of the request is to reach the fake
    with sync_client(fake, max_retries=0, timeout=late) as client, pytest.raises(openai.APITimeoutError):
        client.audio.speech.create(input=TEXT, model="tts-1", voice="a")
    until(lambda: fake.characters)
    refused, timed_out = spans.attributes
    assert refused[names.CALL_REFUSED] is True
    assert names.CALL_REFUSED not in timed_out
    assert timed_out[names.INPUT_CHARACTERS] == fake.characters == 14


def test_retries_of_the_sdk_are_one_span(fake, spans, instrumented) -> None:
    """One logical call, two attempts, billed once."""
    fake.refuse_next = [500]
    with sync_client(fake) as client:
        client.audio.speech.create(input=TEXT, model="tts-1", voice="a")
    assert fake.request_count == 2
    assert spans.only[names.REQUEST_ATTEMPTS] == 2
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters == 14


def test_cancelling_a_task_is_an_interruption(fake, spans, instrumented) -> None:
    """Asyncio cancellation ends the span without an error and without losing the characters."""

    async def cancelled() -> None:
        async with (
            async_client(fake) as client,
            client.audio.speech.with_streaming_response.create(input=TEXT, model="tts-1", voice="a") as streamed,
        ):
            async for _ in streamed.iter_bytes(1000):
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)
    assert spans.only[names.INPUT_CHARACTERS] == fake.characters


def test_transcription_takes_the_vendors_figures(fake, spans, instrumented, wav) -> None:
    """Tokens with the audio apart, and billed seconds where the model is billed by time."""
    file = wav(2.5)
    with sync_client(fake) as client:
        client.audio.transcriptions.create(file=("a.wav", file), model="gpt-4o-transcribe", language="de")
        client.audio.transcriptions.create(file=("a.wav", io.BytesIO(file)), model="whisper-1")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # deprecated by the vendor
            client.audio.translations.create(file=("a.wav", file), model="whisper-1")
    tokens, seconds, translated = spans.attributes
    assert (tokens[names.INPUT_TOKENS], tokens[names.INPUT_AUDIO_TOKENS], tokens[names.OUTPUT_TOKENS]) == (14, 12, 45)
    assert tokens[names.AUDIO_INPUT_SECONDS] == 2.5
    assert seconds[names.AUDIO_INPUT_SECONDS] == translated[names.AUDIO_INPUT_SECONDS] == 13.0
    assert {found[names.USAGE_SOURCE] for found in spans.attributes} == {"vendor_body"}
    assert fake.uploads == [len(file)] * 3


def test_plain_text_answers_fall_back_on_the_upload(fake, spans, instrumented, wav, tmp_path) -> None:
    """No usage in the answer: a WAV is measured, whatever its form; other audio is honestly unknown."""
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(1.25, channels=2))
    written = io.BytesIO()
    written.write(path.read_bytes())
    with sync_client(fake) as client, path.open("rb") as opened:
        for file in (path, opened, path.read_bytes(), written):
            text = client.audio.transcriptions.create(file=file, model="whisper-1", response_format="text")
            assert text == "the secret words"
        client.audio.transcriptions.create(file=("a.mp3", b"ID3..."), model="whisper-1", response_format="text")
    assert [found.get(names.AUDIO_INPUT_SECONDS) for found in spans.attributes] == [*[1.25] * 4, None]
    assert [found[names.USAGE_SOURCE] for found in spans.attributes] == [*["client"] * 4, "unknown"]
    assert fake.uploads[:4] == [path.stat().st_size] * 4


@pytest.mark.parametrize("name", ["constant.mp3", "speech.opus", "speech.ogg", "tone.flac"])
def test_a_compressed_upload_is_measured_where_the_answer_states_nothing(fake, spans, instrumented, name) -> None:
    """In every form the SDK takes, and left as the SDK leaves it."""
    data = (AUDIO / name).read_bytes()
    with sync_client(fake) as client, (AUDIO / name).open("rb") as opened, tempfile.TemporaryFile() as temporary:
        temporary.write(data)  # and not rewound: the SDK does that
        for file in (data, (name, data), AUDIO / name, opened, ("a", temporary)):
            client.audio.transcriptions.create(file=file, model="whisper-1", response_format="text")
        assert opened.tell() == len(data)
        assert temporary.tell() == len(data)
    assert fake.uploads == [len(data)] * 5
    found = {round(seconds[names.AUDIO_INPUT_SECONDS], 1) for seconds in spans.attributes}
    assert found == {0.6}
    assert {found[names.USAGE_SOURCE] for found in spans.attributes} == {"client"}


def test_a_transcription_left_early_is_billed_by_the_upload(fake, spans, instrumented) -> None:
    """The tokens come last; whoever does not wait for them has sent the audio all the same."""
    with sync_client(fake) as client:
        stream = client.audio.transcriptions.create(
            file=("a.mp3", (AUDIO / "constant.mp3").read_bytes()), model="gpt-4o-transcribe", stream=True
        )
        next(stream)
        stream.close()
    assert spans.only[names.FINISH_REASONS] == ("interrupted",)
    assert spans.only[names.AUDIO_INPUT_SECONDS] == 0.648


@pytest.mark.parametrize("streams", [False, True])
def test_a_compressed_answer_states_its_usage(fake, spans, instrumented, streams) -> None:
    """The vendor answers in gzip; the application reads the body as it wants, and we read it too."""
    fake.compresses = True
    asked = {"file": b"x", "model": "gpt-4o-transcribe"}
    with sync_client(fake) as client:
        if streams:
            with client.audio.transcriptions.with_streaming_response.create(**asked) as streamed:
                body = streamed.json()
        else:
            body = client.audio.transcriptions.with_raw_response.create(**asked).http_response.json()
    assert body["usage"]["input_tokens"] == 14
    assert spans.only[names.INPUT_TOKENS] == 14
    assert spans.only[names.USAGE_SOURCE] == "vendor_body"


@pytest.mark.parametrize("is_async", [False, True])
def test_streamed_transcription(fake, spans, instrumented, is_async) -> None:
    """The last event carries the tokens."""

    async def listen() -> list[str]:
        async with async_client(fake) as client:
            stream = await client.audio.transcriptions.create(file=b"x", model="gpt-4o-transcribe", stream=True)
            return [event.type async for event in stream]

    if is_async:
        kinds = asyncio.run(listen())
    else:
        with sync_client(fake) as client:
            stream = client.audio.transcriptions.create(file=b"x", model="gpt-4o-transcribe", stream=True)
            assert isinstance(stream, openai.Stream)
            kinds = [event.type for event in stream]
    assert kinds == ["transcript.text.delta", "transcript.text.done"]
    assert spans.only[names.INPUT_AUDIO_TOKENS] == 12
    assert spans.only[names.REQUEST_STREAM] is True


def test_raw_transcription_is_read_without_being_parsed(fake, spans, instrumented) -> None:
    """`with_raw_response` keeps its answer to itself; the usage is in the body."""
    with sync_client(fake) as client:
        raw = client.audio.transcriptions.with_raw_response.create(file=b"x", model="gpt-4o-transcribe")
    assert raw.parse().text == "the secret words"
    assert spans.only[names.OUTPUT_TOKENS] == 45


def test_uninstrument_puts_the_very_methods_back(spans) -> None:
    """Afterwards the classes are what they were."""
    before = openai.resources.audio.speech.Speech.__dict__["create"]
    instrumentor = OpenAIAudioInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    assert openai.resources.audio.speech.Speech.__dict__["create"] is not before
    instrumentor.uninstrument()
    assert openai.resources.audio.speech.Speech.__dict__["create"] is before
