"""Deepgram: files are billed by the vendor's duration."""

import asyncio
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from deepgram.core.api_error import ApiError

from callfare import attributes as names
from tests.instrumentation.deepgram.sdk import (
    CHUNK,
    LIVE,
    async_client_of,
    client_of,
    wav,
)
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.support.recording import Recorded

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old names of websockets


def test_a_file_is_billed_by_the_vendors_duration(fake: FakeDeepgram, spans: Recorded) -> None:
    """The answer's duration wins over the file's own; the request's model is kept."""
    answer = client_of(fake).listen.v1.media.transcribe_file(request=wav(3), model="nova-3", language="en")
    assert answer.results.channels[0].alternatives[0].transcript == "canary transcript"
    assert (
        spans.one.items()
        >= {
            names.OPERATION_NAME: "speech_to_text",
            names.PROVIDER_NAME: "deepgram",
            names.REQUEST_MODEL: "nova-3",
            names.RESPONSE_ID: "dg-file",
            names.REQUEST_STREAM: False,
            names.SPEECH_INPUT_LANGUAGE: "en",
            names.AUDIO_INPUT_SECONDS: 12.34,
            names.AUDIO_CHANNELS: 1,
            names.USAGE_SOURCE: "vendor_body",
        }.items()
    )


def test_each_channel_is_billed_under_multichannel_only(fake: FakeDeepgram, spans: Recorded) -> None:
    """Stereo is billed once unless its channels are transcribed separately."""
    client = client_of(fake)
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3")
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3", multichannel=True)
    assert spans.values(names.AUDIO_CHANNELS) == [1, 2]


def test_nova_3_in_many_languages_has_a_price_of_its_own(fake: FakeDeepgram, spans: Recorded) -> None:
    """`language=multi` is not in the model's name, but in its price."""
    client = client_of(fake)
    client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3", language="multi")
    with client.listen.v1.connect(**LIVE, language="multi") as socket:
        socket.send_media(CHUNK)
    assert spans.values(names.REQUEST_MODEL) == ["nova-3-multilingual"] * 2


def test_add_ons_that_are_charged_are_named(fake: FakeDeepgram, spans: Recorded) -> None:
    """By their names alone: not a key term of the caller's. What is free or switched off is none."""
    media = client_of(fake).listen.v1.media
    free: dict[str, Any] = {"url": "http://example.test/a.wav", "model": "nova-3", "smart_format": True}
    media.transcribe_url(**free, diarize=True, keyterm=["canary"], redact="pci", detect_entities=False)
    media.transcribe_url(**free, request_options={"additional_query_parameters": {"diarize": "true"}})
    media.transcribe_url(**free, diarize=False)
    with client_of(fake).listen.v1.connect(**LIVE, diarize="true", redact="false") as socket:
        socket.send_media(CHUNK)
    assert spans.values(names.PAID_EXTRAS) == ["diarize,keyterm,redact", "diarize", None, "diarize"]
    assert "canary" not in spans.text()


def test_the_raw_client_is_counted_once(fake: FakeDeepgram, spans: Recorded) -> None:
    """`with_raw_response` is the layer below the public method, and no second call."""
    response = client_of(fake).listen.v1.media.with_raw_response.transcribe_url(url="http://example.test/a.wav")
    assert response.data.metadata.duration == 12.34
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 12.34
    assert spans.one[names.RESPONSE_MODEL] == "nova-2", "without a model in the request, the answer's architecture"


def test_a_callback_request_measures_its_file_or_says_unknown(fake: FakeDeepgram, spans: Recorded) -> None:
    """The result goes to the callback: a file that tells its own length is billed by it, another is unknown."""
    media = client_of(fake).listen.v1.media
    for file in (wav(3), (AUDIO / "speech.opus").read_bytes(), b"\0\0\0\x1cftypM4A "):
        media.transcribe_file(request=file, model="nova-3", callback="http://example.test/done")
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [3, 0.6, None]
    assert spans.values(names.USAGE_SOURCE) == ["client", "client", "unknown"]


def test_a_callback_request_bills_every_channel_of_its_file(fake: FakeDeepgram, spans: Recorded) -> None:
    """Under multichannel, and where the file says how many there are; compressed audio does not."""
    media = client_of(fake).listen.v1.media
    many: dict[str, Any] = {"model": "nova-3", "callback": "http://example.test/done", "multichannel": True}
    for file in (wav(2, channels=2), wav(2), (AUDIO / "speech.opus").read_bytes()):
        media.transcribe_file(request=file, **many)
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2, 2, None]
    assert spans.values(names.AUDIO_CHANNELS) == [2, 1, None]


def test_what_is_added_to_the_address_by_hand_counts(fake: FakeDeepgram, spans: Recorded) -> None:
    """Model and language may come by `additional_query_parameters`, as newer ones than the SDK knows do."""
    added = {"additional_query_parameters": {"model": "nova-3", "language": "multi"}}
    media = client_of(fake).listen.v1.media
    media.transcribe_url(url="http://example.test/a.wav", request_options=added)
    assert spans.one[names.REQUEST_MODEL] == "nova-3-multilingual"


def test_a_refused_file_costs_nothing_and_raises_as_before(fake: FakeDeepgram, spans: Recorded) -> None:
    """The vendor's own exception passes through; the span says that no work was done."""
    fake.refuse_next = [401]
    with pytest.raises(ApiError) as raised:
        client_of(fake).listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3")
    assert raised.value.status_code == 401
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 401, names.CALL_REFUSED: True}.items()


def test_retries_inside_the_sdk_are_one_span(fake: FakeDeepgram, spans: Recorded) -> None:
    """Two 503 answers and a success: three requests, one bill."""
    fake.refuse_next = [503, 503]
    media = client_of(fake).listen.v1.media
    media.transcribe_url(
        url="http://example.test/a.wav", model="nova-3", request_options={"max_retries": 4}
    )  # 5 counts from 2
    assert fake.request_count == 3
    assert spans.total(names.AUDIO_INPUT_SECONDS) == D("12.34")


def test_asynchronous_files_are_counted_too(fake: FakeDeepgram, spans: Recorded) -> None:
    """The asynchronous client has wrappers of its own."""

    async def call() -> None:
        async with async_client_of(fake) as client:
            await client.listen.v1.media.transcribe_file(request=wav(1), model="nova-3")

    asyncio.run(call())
    assert spans.one[names.AUDIO_INPUT_SECONDS] == 12.34
