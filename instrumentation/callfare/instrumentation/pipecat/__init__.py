"""Pipecat: every service's usage, as its metrics report it.

    PipecatInstrumentor().instrument()              # or `opentelemetry-instrument`, entry point `callfare_pipecat`

| service | quantities |
|---|---|
| text to speech | characters, one span per `run_tts` |
| speech to text | audio seconds, in deltas, one session per service |
| language model | tokens, inclusive, one span per answer |
| OpenAI's and Azure's realtime model | the same, and the tokens or seconds of each transcribed utterance |
The span of a service is the parent of the vendor's spans; where one of those describes the same operation it
says `gen_ai.usage.billable=false`, and so do the spans of Pipecat's own tracing. An utterance in TOKEN mode is one
span, also when it is interrupted. A model that is asked and reports no usage is unknown, not free; what
`run_inference` uses is seen by the instrumentation of the vendor's SDK only.
"""

from typing import ClassVar

from opentelemetry.trace import Tracer

from callfare.instrumentation.pipecat import _ask, _call, _realtime, _speak, _transcribe
from callfare.instrumentation.pipecat.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap
from callfare.provider.context import scopes_covered_by_us

__all__ = ["PipecatInstrumentor"]

_LESS_COMPLETE = ("pipecat", "openinference.instrumentation.pipecat")
"""Scopes that report less of the same usage: Pipecat's own tracing, and OpenInference for Pipecat."""
_PROCESSOR = "pipecat.processors.frame_processor"


class PipecatInstrumentor(CallfareInstrumentor):
    """Records characters, seconds and tokens of Pipecat's services."""

    name: ClassVar[str] = "pipecat"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("pipecat.pipeline.worker", "PipelineWorker.run", _call.worker_run),
        Wrap("openinference.instrumentation.pipecat._observer", "OpenInferenceObserver.__init__", _call.observer_init),
        Wrap(_PROCESSOR, "FrameProcessor.start_tts_usage_metrics", _speak.tts_usage),
        Wrap(_PROCESSOR, "FrameProcessor.start_llm_usage_metrics", _ask.llm_usage),
        Wrap("pipecat.services.tts_service", "TTSService.__init__", _speak.tts_init),
        Wrap("pipecat.services.tts_service", "TTSService._handle_interruption", _speak.tts_interruption),
        Wrap("pipecat.services.tts_service", "TTSService.cancel", _speak.tts_cancel),
        Wrap("pipecat.services.tts_service", "TTSService.cleanup", _speak.tts_cleanup),
        Wrap("pipecat.services.stt_service", "STTService.__init__", _transcribe.stt_init),
        Wrap("pipecat.services.stt_service", "STTService.cleanup", _transcribe.stt_cleanup),
        Wrap("pipecat.services.llm_service", "LLMService.__init__", _ask.llm_init),
        Wrap(
            "pipecat.services.openai.realtime.llm",
            "OpenAIRealtimeLLMService._receive_task_handler",
            _realtime.receiving,
        ),
    )

    def started(self, tracer: Tracer) -> None:  # noqa: ARG002 - the base class's signature
        """Mark the usage on spans of the less complete scopes as not billable: ours is billed."""
        scopes_covered_by_us.update(_LESS_COMPLETE)

    def stopped(self) -> None:
        """Bill the spans of those scopes again."""
        scopes_covered_by_us.difference_update(_LESS_COMPLETE)
