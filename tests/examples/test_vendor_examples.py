"""The example application of each vendor, unmodified, under the real `opentelemetry-instrument`, against the fakes."""

import asyncio
import io
import subprocess
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest

from callfare import attributes as names
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.instrumentation.fakes.google import FakeGoogle
from tests.instrumentation.fakes.otlp import OtlpFake, attributes_of
from tests.instrumentation.fakes.twilio import ACCOUNT, FakeTwilio
from tests.instrumentation.fakes.vectors import FakePinecone, FakeQdrant
from tests.instrumentation.instrumented_app import ROOT, run
from tests.support.recording import Recorded

pytestmark = pytest.mark.slow
SENTENCE = "Your order leaves today."


@pytest.fixture
def receiver() -> Iterator[OtlpFake]:
    with OtlpFake() as server:
        yield server


def _run(example: str, tmp_path: Path, receiver: OtlpFake, **variables: str) -> list[dict[str, Any]]:
    script = (ROOT / "examples" / example).read_text(encoding="utf-8")
    finished: subprocess.CompletedProcess[str] = run(script, tmp_path, receiver.url, **variables)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return [found for found in map(attributes_of, receiver.spans) if names.OPERATION_NAME in found]


def _total(found: list[dict[str, Any]], name: str) -> float:
    return sum(each.get(name, 0) for each in found)


def test_deepgram(receiver, tmp_path) -> None:
    """The seconds that the recogniser heard."""
    with FakeDeepgram() as fake:
        host = fake.url.removeprefix("http://")
        found = _run("listen_deepgram.py", tmp_path, receiver, DEEPGRAM_API_KEY="k", DEEPGRAM_HOST=host)
        assert _total(found, names.AUDIO_INPUT_SECONDS) == sum(fake.audio_bytes) / 32_000 == 0.5


def test_twilio(receiver, tmp_path) -> None:
    """Placed and ended: two spans of one leg."""
    with FakeTwilio() as fake:
        account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "t", "TWILIO_BASE_URL": fake.url}
        found = _run("call_twilio.py", tmp_path, receiver, **account)
        assert {each[names.CALL_ID] for each in found} == set(fake.calls)
        assert [each.get(names.CALL_DURATION_SECONDS) for each in found] == [None, 61]


def test_cartesia(receiver, tmp_path) -> None:
    """Two contexts, one of them cancelled."""
    with FakeCartesia() as fake:
        addresses = {"CARTESIA_BASE_URL": fake.url, "CARTESIA_WEBSOCKET_URL": fake.ws_url}
        found = _run("speak_cartesia.py", tmp_path, receiver, CARTESIA_API_KEY="k", **addresses)
        assert _total(found, names.INPUT_CHARACTERS) == sum(fake.contexts.values()) == len(SENTENCE) + 22


def test_assemblyai(receiver, tmp_path) -> None:
    """The transcript's length."""
    with FakeAssemblyAI() as fake:
        variables = {"ASSEMBLYAI_API_KEY": "k", "ASSEMBLYAI_BASE_URL": fake.url}
        found = _run("transcribe_assemblyai.py", tmp_path, receiver, **variables)
        assert _total(found, names.AUDIO_INPUT_SECONDS) == 93


def test_google(receiver, tmp_path) -> None:
    """Billed seconds, and characters."""
    with FakeGoogle() as fake:
        found = _run("google_speech.py", tmp_path, receiver, GOOGLE_SPEECH_ADDRESS=fake.address)
        assert _total(found, names.AUDIO_INPUT_SECONDS) == fake.billed_seconds
        assert _total(found, names.INPUT_CHARACTERS) == fake.characters == len(SENTENCE)


def test_azure(receiver, tmp_path) -> None:
    """The native library cannot be answered by a fake: without a connection the call is recorded as refused."""
    endpoint = {"AZURE_SPEECH_ENDPOINT": "ws://127.0.0.1:9/", "AZURE_SPEECH_KEY": "k"}
    (found,) = _run("speak_azure.py", tmp_path, receiver, **endpoint)
    assert (found[names.INPUT_CHARACTERS], found[names.CALL_REFUSED]) == (len(SENTENCE), True)


def test_vector_stores(receiver, tmp_path) -> None:
    """Read units of one, a request of the other."""
    with FakePinecone() as pinecone, FakeQdrant() as qdrant:
        places = {"PINECONE_API_KEY": "k", "PINECONE_HOST": pinecone.url, "QDRANT_URL": qdrant.url}
        found = _run("search_vectors.py", tmp_path, receiver, **places)
        assert _total(found, names.BILLED_QUANTITY) == pinecone.read_units == 5
        assert _total(found, f"{names.USAGE_PREFIX}requests") == qdrant.data_requests == 1


# --- Status callbacks ----------------------------------------------------------------------------------------


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Where `record_call_status` writes to."""
    from callfare.instrumentation.twilio import _legs

    monkeypatch.setattr("opentelemetry.trace.get_tracer", lambda *_, **__: record.tracer)
    _legs._last_seen.clear()
    record = Recorded()
    return record


def _example(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _form() -> bytes:
    with FakeTwilio() as fake:
        sid = fake.add("inbound")
        fake.end(sid, seconds=127)
        return urlencode(fake.status_callback(sid)).encode()


def test_the_asgi_callback_records_an_inbound_leg(recorded: Recorded) -> None:
    """The form comes in pieces."""
    body, sent = _form(), []
    pieces = [
        {"type": "http.request", "body": body[:20], "more_body": True},
        {"type": "http.request", "body": body[20:]},
    ]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(_example("twilio_status_asgi").app({"type": "http"}, receive, send))
    assert sent[0]["status"] == 204
    assert recorded.one[names.CALL_DURATION_SECONDS] == 127
    assert "555" not in recorded.text()


def test_the_wsgi_callback_records_an_inbound_leg(recorded: Recorded) -> None:
    """The same from a blocking server."""
    body, statuses = _form(), []
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    list(_example("twilio_status_wsgi").app(environ, lambda status, _: statuses.append(status)))
    assert statuses == ["204 No Content"]
    assert recorded.one[names.CALL_DURATION_SECONDS] == 127


def test_examples_need_nothing_of_ours() -> None:
    """But for the callback, which is the one line an application has to write."""
    helper = {"twilio_status_asgi.py", "twilio_status_wsgi.py"}
    mine = ("listen_", "call_", "speak_", "transcribe_", "google_", "search_", "twilio_")
    for path in (ROOT / "examples").glob("*.py"):
        if path.name.startswith(mine) and path.name not in helper:
            assert "import callfare" not in path.read_text(encoding="utf-8"), path.name
