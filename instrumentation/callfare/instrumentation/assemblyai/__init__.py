"""AssemblyAI: recorded and streamed speech to text, and text to speech. SDK 0.64 to 1.x.

What is recorded
----------------
- Recorded audio: the transcript's `audio_duration` once it is complete, by whatever method (`transcribe`,
  `wait_for_completion`, `get_by_id`, groups, asynchronous twins), once per transcript. A failed transcript is free.
  A transcript that is only submitted is recorded by the process that fetches it.
- Streams (`streaming.v3`): the time the socket is open, in deltas every CALLFARE_STT_REPORT_SECONDS, corrected by
  the `session_duration_seconds` of the `Termination`. That message comes only to a client that says
  `disconnect(terminate=True)`: any other end is `gen_ai.usage.session.state=lost`, as AssemblyAI may count, and
  bill, up to three hours.
- The synchronous API and dictation: `audio_duration_ms`.
- Speech (1.x), `synthesize` and `stream`: characters sent, and AssemblyAI's own `x-tts-billed-characters`.
- Speech sessions: one span per request, up to its `flush`, with the characters sent; a cancelled one is billed for them
  all the same. What the `Termination` counts beyond them is one more span.
- The LLM gateway's chat completions: tokens.
- Extras of a transcript or stream (speaker labels, entities, key terms and so on), by their names in
  `callfare.usage.extras`. They have no price in the list: such a record is `partial`.

No public price is known for speech, dictation and the gateway: they are `unpriced` until an operator's row says one.
Not recorded: extras that are switched on while a stream is open, the gateway's `understanding`; LeMUR of 0.x.

Wrapped: `_TranscriptImpl.wait_for_completion` (`assemblyai.transcriber`, from 1.0 `assemblyai.prerecorded.v2`),
`AsyncTranscript.wait_for_completion`, `websocket_connect` and `websocket_connect_async` of `assemblyai.streaming.v3`,
`transcribe_live` of `sync.v1.api` (`transcribe` before 1.5) and `dictation.v1.api`, `TextToSpeech.synthesize`,
`TTSStream._open`, `CompletionsResource.create`, and their asynchronous twins.
"""

from typing import ClassVar

from callfare.instrumentation.assemblyai import _gateway, _wrap
from callfare.instrumentation.assemblyai.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["AssemblyAIInstrumentor"]


class AssemblyAIInstrumentor(CallfareInstrumentor):
    """Records audio seconds, connected time and characters of AssemblyAI's SDK."""

    name: ClassVar[str] = "assemblyai"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        # From 1.0 this module only hands on the class of the next line.
        Wrap("assemblyai.transcriber", "_TranscriptImpl.wait_for_completion", _wrap.wait, before="1"),
        Wrap("assemblyai.prerecorded.v2.transcript", "_TranscriptImpl.wait_for_completion", _wrap.wait),
        Wrap("assemblyai.prerecorded.v2.async_transcript", "AsyncTranscript.wait_for_completion", _wrap.async_wait),
        Wrap("assemblyai.streaming.v3.client", "websocket_connect", _wrap.connect),
        Wrap("assemblyai.streaming.v3.async_client", "websocket_connect_async", _wrap.async_connect),
        # Below the transcriber, whose methods all end in one of these; from 1.5 the first goes through the second.
        Wrap("assemblyai.sync.v1.api", "transcribe", _wrap.transcribe_now, before="1.5"),
        Wrap("assemblyai.sync.v1.async_api", "transcribe", _wrap.async_transcribe_now, before="1.5"),
        Wrap("assemblyai.sync.v1.api", "transcribe_live", _wrap.transcribe_now, since="1.5"),
        Wrap("assemblyai.sync.v1.async_api", "transcribe_live", _wrap.async_transcribe_now, since="1.5"),
        Wrap("assemblyai.dictation.v1.api", "transcribe_live", _wrap.dictate),
        Wrap("assemblyai.dictation.v1.async_api", "transcribe_live", _wrap.async_dictate),
        Wrap("assemblyai.llm_gateway.v1.client", "CompletionsResource.create", _gateway.create),
        Wrap("assemblyai.llm_gateway.v1.async_client", "AsyncCompletionsResource.create", _gateway.async_create),
        Wrap("assemblyai.tts.v1.client", "TextToSpeech.synthesize", _wrap.synthesize),
        Wrap("assemblyai.tts.v1.async_client", "AsyncTextToSpeech.synthesize", _wrap.async_synthesize),
        Wrap("assemblyai.tts.v1.api", "TTSStream._open", _wrap.open_speech),
        Wrap("assemblyai.tts.v1.async_api", "AsyncTTSStream._open", _wrap.async_open_speech),
    )
