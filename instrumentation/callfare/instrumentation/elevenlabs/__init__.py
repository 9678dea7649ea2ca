"""ElevenLabs: speech, dialogue, sound effects, voice conversion, transcription, realtime transcription.

    ElevenLabsInstrumentor().instrument()           # or `opentelemetry-instrument`, entry point `callfare_elevenlabs`

| call | quantities |
|---|---|
| `text_to_speech.*`, `text_to_dialogue.*` | characters; `character-cost` in credits (2.x); seconds of pcm, ulaw, mp3 |
| `text_to_speech.convert_realtime` | characters as sent over the websocket |
| `text_to_sound_effects.convert` | credits; requests |
| `speech_to_speech.*` | seconds of a WAV sent as bytes; credits |
| `speech_to_text.convert` | seconds as answered, channels; paid extras |
| `speech_to_text.realtime` | seconds of audio sent, in deltas; paid extras |
| `conversational_ai.conversation.Conversation`, `AsyncConversation` | connected seconds, in deltas |
Extras (key terms, entities, roles, edits) are named in `callfare.usage.extras`; no price says them: `partial`.
Not covered: the multi-context websocket, for which the SDK has no client; conversations by telephone or in a browser,
which the SDK starts at most; what an agent's language model costs; music, dubbing, isolation, alignment, voice design.
"""

from typing import ClassVar

from callfare.calls.wrapping import MakeWrapper, ReadRequest, around_async_call, around_call
from callfare.instrumentation.elevenlabs import _conversation, _realtime, _usage, _wrap
from callfare.instrumentation.elevenlabs.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["ElevenLabsInstrumentor"]


def _raw(
    api: str, client: str, method: str, sync: MakeWrapper, asynchronous: MakeWrapper, *, since: str = "2"
) -> tuple[Wrap, Wrap]:
    """Both twins of a raw client's method, 2.x."""
    module = f"elevenlabs.{api}.raw_client"
    return (
        Wrap(module, f"Raw{client}.{method}", sync, since=since),
        Wrap(module, f"AsyncRaw{client}.{method}", asynchronous, since=since),
    )


def _public(api: str, client: str, method: str, request: ReadRequest) -> tuple[Wrap, Wrap]:
    """Both twins of a public generator method, 1.x."""
    module = f"elevenlabs.{api}.client"
    return (
        Wrap(module, f"{client}.{method}", _wrap.generated(request), before="2"),
        Wrap(module, f"Async{client}.{method}", _wrap.generated_async(request), before="2"),
    )


def _conversations(kind: str, run: MakeWrapper, *, since: str = "") -> tuple[Wrap, ...]:
    """The three places at which a conversation of this class is seen."""
    module = "elevenlabs.conversational_ai.conversation"
    return (
        Wrap(module, f"{kind}.start_session", _conversation.start_session, since=since),
        Wrap(module, f"{kind}._handle_message", _conversation.handle_message, since=since),
        Wrap(module, f"{kind}._run", run, since=since),
    )


_SPEECH, _SPEECH_ASYNC = _wrap.streamed(_usage.speech_request), _wrap.streamed_async(_usage.speech_request)
_EVENTS = _wrap.streamed(_usage.speech_request, is_audio=False)
_EVENTS_ASYNC = _wrap.streamed_async(_usage.speech_request, is_audio=False)
_DIALOGUE, _DIALOGUE_ASYNC = _wrap.streamed(_usage.dialogue_request), _wrap.streamed_async(_usage.dialogue_request)
_CONVERSION = _wrap.streamed(_usage.conversion_request)
_CONVERSION_ASYNC = _wrap.streamed_async(_usage.conversion_request)


class ElevenLabsInstrumentor(CallfareInstrumentor):
    """Records characters, credits and seconds of ElevenLabs."""

    name: ClassVar[str] = "elevenlabs"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        *_raw("text_to_speech", "TextToSpeechClient", "convert", _SPEECH, _SPEECH_ASYNC),
        *_raw("text_to_speech", "TextToSpeechClient", "stream", _SPEECH, _SPEECH_ASYNC),
        *_raw("text_to_speech", "TextToSpeechClient", "stream_with_timestamps", _EVENTS, _EVENTS_ASYNC),
        *_raw(
            "text_to_speech",
            "TextToSpeechClient",
            "convert_with_timestamps",
            _wrap.answered(_usage.speech_request),
            _wrap.answered_async(_usage.speech_request),
        ),
        *_raw("text_to_dialogue", "TextToDialogueClient", "convert", _DIALOGUE, _DIALOGUE_ASYNC),
        *_raw("text_to_dialogue", "TextToDialogueClient", "stream", _DIALOGUE, _DIALOGUE_ASYNC),
        *_raw(
            "text_to_dialogue",
            "TextToDialogueClient",
            "stream_with_timestamps",
            _wrap.streamed(_usage.dialogue_request, is_audio=False),
            _wrap.streamed_async(_usage.dialogue_request, is_audio=False),
            since="2.21",
        ),
        *_raw(
            "text_to_dialogue",
            "TextToDialogueClient",
            "convert_with_timestamps",
            _wrap.answered(_usage.dialogue_request),
            _wrap.answered_async(_usage.dialogue_request),
            since="2.21",
        ),
        *_raw(
            "text_to_sound_effects",
            "TextToSoundEffectsClient",
            "convert",
            _wrap.streamed(_usage.effect_request, is_audio=False),
            _wrap.streamed_async(_usage.effect_request, is_audio=False),
        ),
        *_raw("speech_to_speech", "SpeechToSpeechClient", "convert", _CONVERSION, _CONVERSION_ASYNC),
        *_raw("speech_to_speech", "SpeechToSpeechClient", "stream", _CONVERSION, _CONVERSION_ASYNC),
        *_raw("speech_to_text", "SpeechToTextClient", "convert", _wrap.transcribed, _wrap.transcribed_async),
        *_public("text_to_speech", "TextToSpeechClient", "convert", _usage.speech_request),
        *_public("text_to_speech", "TextToSpeechClient", "convert_as_stream", _usage.speech_request),
        *_public("text_to_speech", "TextToSpeechClient", "stream_with_timestamps", _usage.speech_request),
        *_public("text_to_sound_effects", "TextToSoundEffectsClient", "convert", _usage.effect_request),
        *_public("speech_to_speech", "SpeechToSpeechClient", "convert", _usage.conversion_request),
        *_public("speech_to_speech", "SpeechToSpeechClient", "convert_as_stream", _usage.conversion_request),
        Wrap(
            "elevenlabs.text_to_speech.client",
            "TextToSpeechClient.convert_with_timestamps",
            around_call(_usage.speech_request),
            before="2",
        ),
        Wrap(
            "elevenlabs.text_to_speech.client",
            "AsyncTextToSpeechClient.convert_with_timestamps",
            around_async_call(_usage.speech_request),
            before="2",
        ),
        Wrap("elevenlabs.speech_to_text.client", "SpeechToTextClient.convert", _wrap.transcribed, before="2"),
        Wrap(
            "elevenlabs.speech_to_text.client", "AsyncSpeechToTextClient.convert", _wrap.transcribed_async, before="2"
        ),
        *_conversations("Conversation", _conversation.run),
        *_conversations("AsyncConversation", _conversation.run_async, since="2.11"),
        Wrap("elevenlabs.realtime_tts", "RealtimeTextToSpeechClient.convert_realtime", _realtime.convert_realtime),
        Wrap("elevenlabs.realtime_tts", "text_chunker", _realtime.text_chunker),
        Wrap("elevenlabs.realtime.scribe", "ScribeRealtime.connect", _realtime.connect, since="2"),
        Wrap("elevenlabs.realtime.connection", "RealtimeConnection.send", _realtime.send, since="2"),
        Wrap("elevenlabs.realtime.connection", "RealtimeConnection.close", _realtime.close, since="2"),
        Wrap("elevenlabs.realtime.connection", "RealtimeConnection._emit_close", _realtime.emit_close, since="2.72"),
    )
