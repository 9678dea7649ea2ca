"""Azure's native speech SDK. Its network cannot be faked: results are stood in for, the rest is the real thing."""

import gc
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import azure.cognitiveservices.speech as azure
import pytest
from azure.cognitiveservices.speech.speech import SpeechRecognizer, SpeechSynthesizer

from callfare import attributes as names
from callfare.instrumentation.azure_speech import AzureSpeechInstrumentor
from callfare.instrumentation.azure_speech._usage import ssml_request
from tests.support.ports import free_ports
from tests.support.recording import Recorded, recorded

CANARY = "canary naïve 🦜 42"
CHUNK = b"\x00\x00" * 1600  # 0.1 s


class Future:
    """Stands in for `ResultFuture`."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def get(self) -> Any:
        return self.result


@pytest.fixture
def config() -> azure.SpeechConfig:
    made = azure.SpeechConfig(endpoint=f"ws://127.0.0.1:{free_ports(1)[0]}/", subscription="k")
    made.speech_synthesis_voice_name = "en-US-AvaNeural"
    made.speech_recognition_language = "en-US"
    return made


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the service would answer."""
    answers = SimpleNamespace(
        speech=SimpleNamespace(
            result_id="r1", audio_duration=timedelta(seconds=1.5), cancellation_details=None, text=CANARY
        ),
        utterance=SimpleNamespace(offset=5_000_000, duration=20_000_000, cancellation_details=None, text=CANARY),
    )
    for name in ("speak_text_async", "speak_ssml_async"):
        monkeypatch.setattr(SpeechSynthesizer, name, lambda *_: Future(answers.speech))
    monkeypatch.setattr(SpeechRecognizer, "recognize_once_async", lambda *_: Future(answers.utterance))
    return answers


@pytest.fixture
def spans(results: SimpleNamespace) -> Iterator[Recorded]:
    with recorded(AzureSpeechInstrumentor) as record:
        yield record


@pytest.fixture
def native_spans() -> Iterator[Recorded]:
    with recorded(AzureSpeechInstrumentor) as record:
        yield record


def test_speech_counts_code_points(config: Any, spans: Recorded) -> None:
    """Blocking and asynchronous forms, each once; the voice is the model."""
    synthesizer = azure.SpeechSynthesizer(config, audio_config=None)
    assert synthesizer.speak_text(CANARY).result_id == "r1"
    synthesizer.speak_text_async(CANARY).get()
    assert spans.values(names.INPUT_CHARACTERS) == [len(CANARY)] * 2
    assert spans.values(names.REQUEST_MODEL) == ["en-US-AvaNeural"] * 2
    assert spans.values(names.AUDIO_OUTPUT_SECONDS) == [1.5, 1.5]
    assert "canary" not in spans.text()


def test_speech_nobody_waits_for_is_billed_all_the_same(config: Any, spans: Recorded) -> None:
    """Fire and forget: the span ends with the future."""
    azure.SpeechSynthesizer(config, audio_config=None).speak_text_async(CANARY)
    gc.collect()
    assert spans.one[names.INPUT_CHARACTERS] == len(CANARY)


@pytest.mark.parametrize(
    ("text", "billed"),
    [
        ("你好 world", 8 + 2),
        ("東京タワー", 5 + 2),
        ("漢字 한국어", 6 + 2),
        ("𠮷", 1 + 1),
        ("한국어 かな", None),
        (CANARY, None),
    ],
)
def test_a_chinese_character_is_billed_twice(config: Any, spans: Recorded, text: str, billed: int | None) -> None:
    """Hanzi, kanji and hanja, not kana or hangul; the code points that were sent stay what they are."""
    azure.SpeechSynthesizer(config, audio_config=None).speak_text(text)
    assert spans.one[names.INPUT_CHARACTERS] == len(text)
    assert spans.one.get(names.BILLED_QUANTITY) == billed
    assert spans.one.get(names.BILLED_UNIT) == (None if billed is None else "character")


def test_ssml_is_billed_without_its_wrapper(config: Any, spans: Recorded) -> None:
    """`<speak>` and `<voice>` are free, everything inside is not; the voice is read from it."""
    inner = f'<prosody rate="slow">{CANARY}</prosody>'
    ssml = f'<speak version="1.0" xml:lang="en-US"><voice name="de-DE-KatjaNeural">{inner}</voice></speak>'
    azure.SpeechSynthesizer(config, audio_config=None).speak_ssml(ssml)
    assert spans.one[names.INPUT_CHARACTERS] == len(inner)
    assert spans.one[names.REQUEST_MODEL] == "de-DE-KatjaNeural"
    assert ssml_request("plain").model == "neural"


def test_an_utterance_is_billed_up_to_its_end(config: Any, spans: Recorded) -> None:
    """0.5 s of silence before it and 2 s of speech."""
    stream = azure.audio.PushAudioInputStream()
    recognizer = azure.SpeechRecognizer(config, azure.audio.AudioConfig(stream=stream))
    recognizer.recognize_once()
    assert (
        spans.one.items()
        >= {
            names.AUDIO_INPUT_SECONDS: 2.5,
            names.REQUEST_MODEL: "speech",
            names.SPEECH_INPUT_LANGUAGE: "en-US",
        }.items()
    )
    assert names.REQUEST_STREAM not in spans.one, "it is no batch, which would have a third of the price"


@pytest.mark.parametrize(
    ("code", "expected"), [("AuthenticationFailure", (401, True)), ("ServiceTimeout", (None, None))]
)
def test_a_canceled_result_is_an_error(
    config: Any, spans: Recorded, results: SimpleNamespace, code: str, expected: tuple[Any, Any]
) -> None:
    """A wrong key is a refusal, a time-out may have been billed. The application gets the result as it is."""
    results.speech.audio_duration = timedelta(0)
    results.speech.cancellation_details = SimpleNamespace(error_code=azure.CancellationErrorCode[code])
    result = azure.SpeechSynthesizer(config, audio_config=None).speak_text(CANARY)
    assert result is results.speech
    assert (spans.one.get(names.HTTP_STATUS_CODE), spans.one.get(names.CALL_REFUSED)) == expected


def test_the_native_library_cannot_connect_and_that_is_free(config: Any, native_spans: Recorded) -> None:
    """No stand-in here: the real library against a closed port."""
    result = azure.SpeechSynthesizer(config, audio_config=None).speak_text(CANARY)
    assert result.reason == azure.ResultReason.Canceled
    assert native_spans.one[names.CALL_REFUSED] is True
    assert "canary" not in native_spans.text()


def test_continuous_recognition_counts_what_is_pushed(config: Any, native_spans: Recorded) -> None:
    """Audio that waited in the stream, and what came later; the real library, silence included."""
    stream = azure.audio.PushAudioInputStream(azure.audio.AudioStreamFormat(8_000, 16, 1))
    recognizer = azure.SpeechRecognizer(config, azure.audio.AudioConfig(stream=stream))
    stream.write(CHUNK)
    recognizer.start_continuous_recognition_async().get()
    for _ in range(4):
        stream.write(CHUNK)
    recognizer.stop_continuous_recognition_async().get()
    stream.close()
    assert native_spans.one[names.AUDIO_INPUT_SECONDS] == 5 * 3200 / 16_000
    assert native_spans.one[names.SESSION_STATE] == "closed"


def test_without_a_push_stream_utterances_are_the_floor() -> None:
    """Results overlap nothing: the latest end is what counts."""
    from callfare.calls.session import Session
    from callfare.instrumentation.azure_speech._recognition import Listening
    from callfare.instrumentation.azure_speech._usage import recognition_request

    record = Recorded()
    listening = Listening(Session.open(record.tracer, recognition_request("en-US", is_stream=True)), None)
    assert listening.needs_results
    for offset, duration in ((0, 10_000_000), (15_000_000, 5_000_000), (15_000_000, 5_000_000)):
        listening.recognised(SimpleNamespace(offset=offset, duration=duration))
    listening.stop()
    assert record.one[names.AUDIO_INPUT_SECONDS] == 2.0


def test_uninstrumented_the_sdk_is_as_it_was() -> None:
    """Every wrapped method is put back."""
    before = dict(vars(SpeechSynthesizer)), dict(vars(SpeechRecognizer))
    with recorded(AzureSpeechInstrumentor):
        pass
    assert (dict(vars(SpeechSynthesizer)), dict(vars(SpeechRecognizer))) == before
