"""Cartesia: text to speech and speech to text, over HTTP and over sockets. SDK 2 to 4.

What is recorded
----------------
- `tts.generate`, `.bytes`, `.generate_sse`, `.sse`: characters sent. `tts.infill`: credits, 300 and one per character.
- Speech sockets: one span per context, from its first message to `done`, `error` or `cancel`, with the characters of
  all its messages. Several contexts on one socket are several spans; a cancelled one is billed for what was sent.
- The voice changer: seconds of a WAV clip given as bytes, path or open file; the length of other clips is unknown.
- `stt.transcribe`: the vendor's `duration`, else the length of a WAV file, else `gen_ai.usage.source=unknown`.
- Recognition sockets (`stt.manual_finalize`, `stt.auto_finalize`): audio sent, silence included, in deltas every
  CALLFARE_STT_REPORT_SECONDS. The SDK's own reconnects go on with the same session.

Cartesia states no usage of its own, and says that it charges nothing for errors. Not recorded: fine-tuning, agents'
calls (which the SDK can only list), and the asyncio sockets of SDK 2 (which run on aiohttp).

Wrapped, 3 and 4 (and the asynchronous twins): `resources.tts.TTSResource.{generate,generate_sse,sse,infill}`,
`TTSResourceConnection.__init__` (in `lib._tts`, before 3.1 in `resources.tts`), `resources.stt.STTResource.transcribe`,
`_connect_ws` of the connection managers in `resources.stt.{manual,auto}_finalize`, and all of
`resources.voice_changer.VoiceChangerResource`. 2: `tts.client.TtsClient.{bytes,sse}`, `infill.client.InfillClient.
bytes`, `voice_changer.client.VoiceChangerClient.{bytes,sse}`, `stt.client.SttClient.transcribe`, and the `connect` that
`tts._websocket` and `stt._websocket` import.
"""

from typing import ClassVar

from callfare.instrumentation.cartesia import _wrap
from callfare.instrumentation.cartesia.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["CartesiaInstrumentor"]

_TTS = "cartesia.resources.tts"
_STT = "cartesia.resources.stt"
_VOICE = "cartesia.resources.voice_changer"
_LATER = "3.1"
"""Where the sockets moved out of `resources.tts`, and recognition came."""


def _recognisers() -> list[Wrap]:
    return [
        wrap
        for kind in ("Manual", "Auto")
        for wrap in (
            Wrap(
                f"cartesia.resources.stt.{kind.lower()}_finalize",
                f"{kind}FinalizeResourceConnectionManager._connect_ws",
                _wrap.connect_recogniser,
            ),
            Wrap(
                f"cartesia.resources.stt.{kind.lower()}_finalize",
                f"Async{kind}FinalizeResourceConnectionManager._connect_ws",
                _wrap.async_connect_recogniser,
            ),
        )
    ]


class CartesiaInstrumentor(CallfareInstrumentor):
    """Records characters, credits and audio seconds of Cartesia's SDK."""

    name: ClassVar[str] = "cartesia"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap(_TTS, "TTSResource.generate", _wrap.generate),
        Wrap(_TTS, "AsyncTTSResource.generate", _wrap.async_generate),
        Wrap(_TTS, "TTSResource.generate_sse", _wrap.sse),
        Wrap(_TTS, "AsyncTTSResource.generate_sse", _wrap.async_sse),
        # `sse = generate_sse` in the class body: the alias keeps the unwrapped function.
        Wrap(_TTS, "TTSResource.sse", _wrap.sse),
        Wrap(_TTS, "AsyncTTSResource.sse", _wrap.async_sse),
        Wrap(_TTS, "TTSResource.infill", _wrap.infill),
        Wrap(_TTS, "AsyncTTSResource.infill", _wrap.async_infill),
        Wrap(_TTS, "TTSResourceConnection.__init__", _wrap.speech_connection, before=_LATER),
        Wrap(_TTS, "AsyncTTSResourceConnection.__init__", _wrap.async_speech_connection, before=_LATER),
        Wrap("cartesia.lib._tts", "TTSResourceConnection.__init__", _wrap.speech_connection),
        Wrap("cartesia.lib._tts", "AsyncTTSResourceConnection.__init__", _wrap.async_speech_connection),
        Wrap(_STT, "SttResource.transcribe", _wrap.transcribe, before=_LATER),
        Wrap(_STT, "AsyncSttResource.transcribe", _wrap.async_transcribe, before=_LATER),
        Wrap(_STT, "STTResource.transcribe", _wrap.transcribe, since=_LATER),
        Wrap(_STT, "AsyncSTTResource.transcribe", _wrap.async_transcribe, since=_LATER),
        *_recognisers(),
        Wrap(_VOICE, "VoiceChangerResource.generate", _wrap.change_voice, since=_LATER),
        Wrap(_VOICE, "AsyncVoiceChangerResource.generate", _wrap.async_change_voice, since=_LATER),
        Wrap(_VOICE, "VoiceChangerResource.generate_sse", _wrap.change_voice_sse, since=_LATER),
        Wrap(_VOICE, "AsyncVoiceChangerResource.generate_sse", _wrap.async_change_voice_sse, since=_LATER),
        Wrap(_VOICE, "VoiceChangerResource.change_voice_bytes", _wrap.change_voice),
        Wrap(_VOICE, "AsyncVoiceChangerResource.change_voice_bytes", _wrap.async_change_voice),
        Wrap(_VOICE, "VoiceChangerResource.change_voice_sse", _wrap.change_voice),
        Wrap(_VOICE, "AsyncVoiceChangerResource.change_voice_sse", _wrap.async_change_voice),
        Wrap("cartesia.tts.client", "TtsClient.bytes", _wrap.generate_v2),
        Wrap("cartesia.tts.client", "AsyncTtsClient.bytes", _wrap.async_generate_v2),
        Wrap("cartesia.tts.client", "TtsClient.sse", _wrap.generate_v2),
        Wrap("cartesia.tts.client", "AsyncTtsClient.sse", _wrap.async_generate_v2),
        Wrap("cartesia.infill.client", "InfillClient.bytes", _wrap.infill_v2),
        Wrap("cartesia.infill.client", "AsyncInfillClient.bytes", _wrap.async_infill_v2),
        Wrap("cartesia.voice_changer.client", "VoiceChangerClient.bytes", _wrap.change_voice_v2),
        Wrap("cartesia.voice_changer.client", "AsyncVoiceChangerClient.bytes", _wrap.async_change_voice_v2),
        Wrap("cartesia.voice_changer.client", "VoiceChangerClient.sse", _wrap.change_voice_v2),
        Wrap("cartesia.voice_changer.client", "AsyncVoiceChangerClient.sse", _wrap.async_change_voice_v2),
        Wrap("cartesia.stt.client", "SttClient.transcribe", _wrap.transcribe),
        Wrap("cartesia.stt.client", "AsyncSttClient.transcribe", _wrap.async_transcribe),
        Wrap("cartesia.tts._websocket", "connect", _wrap.connect_v2),
        Wrap("cartesia.stt._websocket", "connect", _wrap.connect_v2),
    )
