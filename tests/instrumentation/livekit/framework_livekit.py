"""LiveKit's real STT classes and event bus. Run by test_older_sdks.py: LiveKit is heavy."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from livekit import rtc
from livekit.agents import stt
from livekit.agents.metrics import STTMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from callfare import attributes as names
from callfare.instrumentation.livekit import LiveKitInstrumentor
from callfare.span import Request, open_call


class Recogniser(stt.STT):
    """A recogniser whose vendor is this file: it hears what it is given."""

    def __init__(self, tracer=None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._tracer = tracer

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        if self._tracer is not None:
            open_call(self._tracer, Request(operation="speech_to_text", provider="openai")).end()
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[])


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    instrumentor = LiveKitInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


def ours(spans) -> list[dict]:
    return [
        dict(span.attributes)
        for span in spans.all
        if span.instrumentation_scope.name == "callfare.instrumentation.livekit"
    ]


def test_metrics_events_become_one_session(spans) -> None:
    """The seconds add up, an event that adapters pass on is counted once, and closing says goodbye."""

    async def listen() -> None:
        recogniser = Recogniser()
        adapter = Recogniser()
        for seconds in (0.5, 1.25, 2.0):
            metrics = STTMetrics(
                label="l", request_id="r", timestamp=time.time(), duration=0.0, audio_duration=seconds, streamed=True,
                metadata=Metadata(model_name="nova-3", model_provider="Deepgram"),
            )  # fmt: skip
            recogniser.emit("metrics_collected", metrics)
            adapter.emit("metrics_collected", metrics)
        await recogniser.aclose()

    asyncio.run(listen())
    assert spans.total(names.AUDIO_INPUT_SECONDS) == 3.75
    (found,) = ours(spans)
    assert (found[names.PROVIDER_NAME], found[names.REQUEST_MODEL]) == ("deepgram", "nova-3")
    assert found[names.SESSION_STATE] == "closed"
    assert names.USAGE_BILLABLE not in found


@pytest.mark.parametrize("has_vendor_span", [False, True])
def test_a_vendors_span_of_the_same_recognition_is_the_bill(spans, has_vendor_span) -> None:
    """The framework's figure is kept, but not billed where an instrumentor saw the call."""

    async def listen() -> None:
        recogniser = Recogniser(spans.provider.get_tracer("vendor") if has_vendor_span else None)
        frame = rtc.AudioFrame(data=b"\0" * 32_000, sample_rate=16_000, num_channels=1, samples_per_channel=16_000)
        await recogniser.recognize(frame)
        await recogniser.aclose()

    asyncio.run(listen())
    (found,) = ours(spans)
    assert found[names.AUDIO_INPUT_SECONDS] == 1.0
    assert found.get(names.USAGE_BILLABLE) is (False if has_vendor_span else None)
