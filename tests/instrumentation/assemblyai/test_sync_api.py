"""AssemblyAI's synchronous API by each of its methods: one upload, one answer, one span."""

import asyncio
from typing import Any

import assemblyai
import pytest

from callfare import attributes as names
from tests.instrumentation.assemblyai.sdk import client_of, settings_of
from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI
from tests.instrumentation.releases import is_too_old
from tests.support.recording import Recorded
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of pydantic
needs_live_uploads = pytest.mark.skipif(
    is_too_old("assemblyai", "live uploads", has=hasattr(assemblyai.SyncTranscriber, "transcribe_live")),
    reason="live uploads came with 1.5",
)


def test_a_whole_upload_is_billed_by_the_vendors_duration(fake: FakeAssemblyAI, spans: Recorded, wav) -> None:
    """Waited for, and on one of the transcriber's own threads."""
    transcriber = assemblyai.SyncTranscriber(client=client_of(fake))
    assert transcriber.transcribe(wav(1)).text == "canary transcript"
    assert transcriber.transcribe_async(wav(1)).result(PATIENCE_SECONDS).text == "canary transcript"
    transcriber.close()
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2.5, 2.5]
    assert spans.values(names.REQUEST_MODEL) == ["sync", "sync"]
    assert spans.values(names.RESPONSE_ID) == ["upload-1", "upload-1"]
    assert spans.values(names.USAGE_SOURCE) == ["vendor_body", "vendor_body"]
    assert "canary" not in spans.text()


@needs_live_uploads
def test_a_live_upload_is_billed_as_well(fake: FakeAssemblyAI, spans: Recorded) -> None:
    """From an iterator, and pushed in."""
    config = assemblyai.SyncTranscriptionConfig(sample_rate=16_000, channels=1)
    with assemblyai.SyncTranscriber(client=client_of(fake)) as transcriber:
        transcriber.transcribe_live(iter([b"\0\0" * 800] * 3), config)
        with transcriber.open_live(config) as session:
            session.write(b"\0\0" * 800)
        assert session.result().text == "canary transcript"
    assert fake.uploaded_bytes > 4 * 1600
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2.5, 2.5]
    assert spans.values(names.REQUEST_MODEL) == ["sync", "sync"]


@needs_live_uploads
def test_the_asyncio_transcriber_is_billed(fake: FakeAssemblyAI, spans: Recorded, wav) -> None:
    """Whole, live and pushed in."""
    config = assemblyai.SyncTranscriptionConfig(sample_rate=16_000, channels=1)

    async def call() -> None:
        client: Any = assemblyai.AsyncClient(settings=settings_of(fake))
        async with client, assemblyai.AsyncSyncTranscriber(client=client) as transcriber:
            await transcriber.transcribe(wav(1))
            await transcriber.transcribe_live(iter([b"\0\0" * 800]), config)
            async with transcriber.open_live(config) as session:
                session.write(b"\0\0" * 800)
            await session.result()

    asyncio.run(asyncio.wait_for(call(), PATIENCE_SECONDS))
    assert spans.values(names.AUDIO_INPUT_SECONDS) == [2.5, 2.5, 2.5]


def test_a_refused_upload_is_free(fake: FakeAssemblyAI, spans: Recorded, wav) -> None:
    """The SDK's own exception; what it refuses itself was never sent."""
    transcriber = assemblyai.SyncTranscriber(client=client_of(fake))
    fake.refuse_next = [402]
    with pytest.raises(assemblyai.types.SyncTranscriptError):
        transcriber.transcribe(wav(1))
    assert spans.one.items() >= {names.HTTP_STATUS_CODE: 402, names.CALL_REFUSED: True}.items()
    with pytest.raises(ValueError, match="URL"):
        transcriber.transcribe("https://example.test/a.wav")
    assert len(spans.paid) == 1
    transcriber.close()
