"""Pipecat: every service's usage, as its metrics report it.

    PipecatInstrumentor().instrument()              # or `opentelemetry-instrument`, entry point `callfare_pipecat`

| service | quantities |
|---|---|
| text to speech | characters, one span a `run_tts` |
| speech to text | audio seconds, in deltas, one session a service |
| language model | tokens, inclusive, one span an answer |
The span of a service is the parent of the vendor's spans; where one of those describes the same operation it
says `gen_ai.usage.billable=false`. Known limit: in TOKEN mode Pipecat itself drops the characters of an
interrupted utterance (pipecat issue 5611).
"""

from typing import ClassVar

from callfare.instrumentation.pipecat import _wrap
from callfare.instrumentation.pipecat.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["PipecatInstrumentor"]

_PROCESSOR = "pipecat.processors.frame_processor"


class PipecatInstrumentor(CallfareInstrumentor):
    """Records characters, seconds and tokens of Pipecat's services."""

    name: ClassVar[str] = "pipecat"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap(_PROCESSOR, "FrameProcessor.start_tts_usage_metrics", _wrap.tts_usage),
        Wrap(_PROCESSOR, "FrameProcessor.start_llm_usage_metrics", _wrap.llm_usage),
        Wrap(_PROCESSOR, "FrameProcessor.start_stt_usage_metrics", _wrap.stt_usage),
        Wrap("pipecat.services.tts_service", "TTSService.__init__", _wrap.tts_init),
        Wrap("pipecat.services.stt_service", "STTService.__init__", _wrap.stt_init),
        Wrap("pipecat.services.stt_service", "STTService.cleanup", _wrap.stt_cleanup),
        Wrap("pipecat.services.llm_service", "LLMService.__init__", _wrap.llm_init),
    )
