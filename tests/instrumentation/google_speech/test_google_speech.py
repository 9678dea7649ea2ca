"""Google's speech client over gRPC against a fake that counts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal as D
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import InvalidArgument, PermissionDenied, ServiceUnavailable
from google.cloud import speech_v1, speech_v2
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcAsyncIOTransport, SpeechGrpcTransport
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcTransport as SpeechGrpcTransportV2

from callfare import attributes as names
from callfare.instrumentation.google_speech import GoogleSpeechInstrumentor
from tests.instrumentation.fakes.google import FakeGoogle
from tests.support.recording import Recorded, recorded, until

CHUNK = b"\x00\x00" * 1600  # 0.1 s
RECOGNIZER = "projects/p/locations/global/recognizers/_"
CONFIG = {"encoding": "LINEAR16", "sample_rate_hertz": 16_000, "language_code": "en-US", "model": "telephony"}


@pytest.fixture
def fake() -> Iterator[FakeGoogle]:
    with FakeGoogle() as server:
        yield server


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded(GoogleSpeechInstrumentor) as record:
        yield record


@pytest.fixture
def client(fake: FakeGoogle) -> Iterator[speech_v1.SpeechClient]:
    with grpc.insecure_channel(fake.address) as channel:
        yield speech_v1.SpeechClient(transport=SpeechGrpcTransport(channel=channel))


def _audio(count: int) -> Iterator[Any]:
    for _ in range(count):
        yield speech_v1.StreamingRecognizeRequest(audio_content=CHUNK)


def _streaming_config() -> Any:
    return speech_v1.StreamingRecognitionConfig(config=CONFIG)


def test_recognised_audio_is_billed_as_the_answer_says(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """15 s billed for 0.3 s sent: Google rounds, and its word counts. Channels are in it already."""
    config = CONFIG | {"audio_channel_count": 2, "enable_separate_recognition_per_channel": True}
    client.recognize(config=config, audio={"content": CHUNK * 3})
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "speech_to_text",
            names.PROVIDER_NAME: "google",
            names.REQUEST_MODEL: "telephony",
            names.SPEECH_INPUT_LANGUAGE: "en-US",
            names.AUDIO_INPUT_SECONDS: 15.0,
            names.AUDIO_CHANNELS: 1,
            names.USAGE_SOURCE: "vendor_body",
            names.RESPONSE_ID: "7",
        }.items()
    )


def test_an_answer_without_a_bill_leaves_the_audio_sent(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """Measured by encoding, rate and channels; or unknown."""
    fake.states_bill = False
    client.recognize(speech_v1.RecognizeRequest(config=CONFIG, audio={"content": CHUNK * 3}))
    client.recognize(request={"config": CONFIG | {"encoding": "OGG_OPUS"}, "audio": {"content": b"Ogg"}})
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [0.3, None]
    assert spans.values(names.USAGE_SOURCE) == ["client", "unknown"]


@pytest.mark.parametrize(
    ("strategy", "is_stream"),
    [
        (speech_v2.BatchRecognizeRequest.ProcessingStrategy.PROCESSING_STRATEGY_UNSPECIFIED, None),
        (speech_v2.BatchRecognizeRequest.ProcessingStrategy.DYNAMIC_BATCHING, False),
        ("DYNAMIC_BATCHING", False),
    ],
)
def test_only_a_dynamic_batch_is_told_apart(
    fake: FakeGoogle, spans: Recorded, strategy: Any, is_stream: bool | None
) -> None:
    """The price list has a quarter of the price for it: a file that is recognised otherwise costs as a stream does."""
    with grpc.insecure_channel(fake.address) as channel:
        client = speech_v2.SpeechClient(transport=SpeechGrpcTransportV2(channel=channel))
        config = {"auto_decoding_config": {}, "model": "chirp_2", "language_codes": ["en-US"]}
        client.recognize(recognizer=RECOGNIZER, config=config, content=CHUNK)
        files = [{"uri": "gs://canary/a.wav"}]
        batch = {"recognizer": RECOGNIZER, "config": config, "files": files, "processing_strategy": strategy}
        client.batch_recognize(request=batch).result()
    assert spans.values(names.REQUEST_STREAM) == [None, is_stream]
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [15.0, 15.0]
    assert "canary" not in spans.text()


def test_an_operation_that_fails_is_free(fake: FakeGoogle, spans: Recorded) -> None:
    """It raises when its result is asked for, and would otherwise be open until the process ends."""
    fake.refuses = grpc.StatusCode.INVALID_ARGUMENT
    with grpc.insecure_channel(fake.address) as channel:
        client = speech_v2.SpeechClient(transport=SpeechGrpcTransportV2(channel=channel))
        operation = client.batch_recognize(request={"recognizer": RECOGNIZER, "files": [{"uri": "gs://canary/a.wav"}]})
        with pytest.raises(InvalidArgument):
            operation.result()
    assert spans.one.items() >= {names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 400}.items()


def test_a_stream_ends_with_the_vendors_bill(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """The helper that takes a `config` first is the generated method's caller: one session."""
    answers = list(client.streaming_recognize(_streaming_config(), _audio(5)))
    assert len(answers) == 6
    assert fake.audio_bytes == 5 * 3200
    assert (
        spans.one.items()
        >= {
            names.AUDIO_INPUT_SECONDS: 15.0,
            names.SESSION_VENDOR_TOTAL_SECONDS: 15.0,
            names.REQUEST_MODEL: "telephony",
            names.SESSION_STATE: "closed",
        }.items()
    )


def test_a_stream_left_early_counts_what_was_sent(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """The application breaks off after the first answer; gRPC stops asking for requests."""

    def endless() -> Iterator[Any]:
        yield from _audio(1)
        until(lambda: spans.paid)

    answers = client.streaming_recognize(_streaming_config(), endless())
    next(iter(answers))
    answers.cancel()
    del answers
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes) / 32_000 == D("0.1")


def test_a_broken_stream_bills_what_it_heard(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """UNAVAILABLE in the middle: the application's exception, and the audio so far."""
    fake.breaks_after_answers = 2

    def two_then_wait() -> Iterator[Any]:
        yield from _audio(2)
        until(lambda: spans.paid)

    with pytest.raises(ServiceUnavailable):
        list(client.streaming_recognize(_streaming_config(), two_then_wait()))
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D(fake.audio_bytes) / 32_000 == D("0.2")
    assert spans.one[names.SESSION_STATE] == "lost"
    assert names.CALL_REFUSED not in spans.one


def test_refusals_are_free(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """PERMISSION_DENIED, of a request and of a stream; the refusal's text stays off the span."""
    fake.refuses = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(PermissionDenied):
        client.recognize(config=CONFIG, audio={"content": CHUNK})
    with pytest.raises(PermissionDenied):
        list(client.streaming_recognize(_streaming_config(), _audio(1)))
    assert spans.values(names.CALL_REFUSED) == [True, True]
    assert spans.values(names.HTTP_STATUS_CODE) == [403, 403]
    assert "canary" not in spans.text()


def test_a_time_out_is_no_refusal(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """The vendor may well have done the work."""
    fake.refuses = grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(Exception, match="canary"):
        client.recognize(config=CONFIG, audio={"content": CHUNK}, retry=None)
    assert names.CALL_REFUSED not in spans.one


def test_a_long_running_result_brings_the_bill(fake: FakeGoogle, client: Any, spans: Recorded) -> None:
    """Nothing is known before `result()`, and it is counted once."""
    operation = client.long_running_recognize(config=CONFIG, audio={"uri": "gs://bucket/canary.wav"})
    assert spans.paid == []
    operation.result()
    operation.result()
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [15]
    assert "canary" not in spans.text()


def test_version_2_is_read_as_well(fake: FakeGoogle, spans: Recorded) -> None:
    """The bill sits in `metadata`, the encoding one level deeper."""
    decoding = {"encoding": "LINEAR16", "sample_rate_hertz": 16_000, "audio_channel_count": 1}
    config = {"explicit_decoding_config": decoding, "model": "chirp_2", "language_codes": ["en-US"]}

    def requests() -> Iterator[Any]:
        yield speech_v2.StreamingRecognizeRequest(recognizer="r", streaming_config={"config": config})
        for _ in range(4):
            yield speech_v2.StreamingRecognizeRequest(audio=CHUNK)

    with grpc.insecure_channel(fake.address) as channel:
        client = speech_v2.SpeechClient(transport=SpeechGrpcTransportV2(channel=channel))
        client.recognize(recognizer="r", config=config, content=CHUNK)
        fake.states_bill = False
        list(client.streaming_recognize(requests=requests()))
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [15, 0.4]
    assert spans.values(names.REQUEST_MODEL) == ["chirp_2", "chirp_2"]
    assert fake.audio_bytes == 5 * 3200


def test_asynchronous_recognition_is_counted(fake: FakeGoogle, spans: Recorded) -> None:
    """Requests and streams of the asyncio client."""

    async def requests() -> AsyncIterator[Any]:
        yield speech_v1.StreamingRecognizeRequest(streaming_config=_streaming_config())
        for request in _audio(3):
            yield request

    async def call() -> None:
        async with grpc.aio.insecure_channel(fake.address) as channel:
            client = speech_v1.SpeechAsyncClient(transport=SpeechGrpcAsyncIOTransport(channel=channel))
            await client.recognize(config=CONFIG, audio={"content": CHUNK})
            async for _ in await client.streaming_recognize(requests=requests()):
                pass

    asyncio.run(asyncio.wait_for(call(), 20))
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [15, 15]


def test_uninstrumented_the_client_is_as_it_was() -> None:
    """Every wrapped method is put back."""
    from google.cloud.speech_v1.services.speech.client import SpeechClient

    before = vars(SpeechClient)["recognize"], vars(SpeechClient)["streaming_recognize"]
    with recorded(GoogleSpeechInstrumentor):
        pass
    assert (vars(SpeechClient)["recognize"], vars(SpeechClient)["streaming_recognize"]) == before
