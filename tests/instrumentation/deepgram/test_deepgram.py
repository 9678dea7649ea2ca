"""Deepgram: what holds whatever is called: no content, the SDK as it was, the same results."""

from typing import Any

import pytest

from callfare.instrumentation.deepgram import DeepgramInstrumentor
from tests.instrumentation.deepgram.sdk import CANARY, CHUNK, LIVE, client_of, send, speak, wav
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.support.recording import Recorded, recorded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old names of websockets


def test_no_content_leaves_the_process(fake: FakeDeepgram, spans: Recorded) -> None:
    """Neither what is said nor what is heard is on any span."""
    client = client_of(fake)
    list(client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))
    client.listen.v1.media.transcribe_file(request=wav(1), model="nova-3", keyterm=["canary"])
    with client.listen.v1.connect(**LIVE) as socket:
        socket.send_media(CHUNK)
        send(socket, "CloseStream")
        list(socket)
    with client.speak.v1.connect(model="aura-2-thalia-en") as socket:
        speak(socket, CANARY)
    assert len(spans.paid) == 4
    assert "canary" not in spans.text()


def test_uninstrumented_the_sdk_is_as_it_was(fake: FakeDeepgram) -> None:
    """Every wrapped object is put back, and nothing is recorded any more."""
    from deepgram.listen.v1.client import V1Client
    from deepgram.listen.v1.media.raw_client import RawMediaClient

    before = vars(V1Client)["connect"], vars(RawMediaClient)["transcribe_url"]
    with recorded(DeepgramInstrumentor) as spans:
        assert vars(V1Client)["connect"] is not before[0]
    assert (vars(V1Client)["connect"], vars(RawMediaClient)["transcribe_url"]) == before
    client_of(fake).listen.v1.media.transcribe_url(url="http://example.test/a.wav")
    assert spans.paid == []


def test_the_results_are_the_same_with_and_without(fake: FakeDeepgram) -> None:
    """What the application gets does not depend on us."""

    def run() -> list[Any]:
        client = client_of(fake)
        file = client.listen.v1.media.transcribe_url(url="http://example.test/a.wav", model="nova-3").dict()
        with client.listen.v1.connect(**LIVE) as socket:
            socket.send_media(CHUNK)
            send(socket, "CloseStream")
            received = [message.dict() for message in socket]
        return [file, received, list(client.speak.v1.audio.generate(text=CANARY, model="aura-2-thalia-en"))]

    plain = run()
    with recorded(DeepgramInstrumentor):
        assert run() == plain
