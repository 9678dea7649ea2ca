"""Azure AI Speech: synthesis and recognition with the native SDK, 1.40 and later.

What is recorded
----------------
- `SpeechSynthesizer.speak_text`, `speak_ssml`, `start_speaking_text`, `start_speaking_ssml` and their `_async` forms:
  characters (of SSML all but the `<speak>` and `<voice>` tags), seconds of audio made. Each Chinese character, kanji
  and hanja included, is billed twice: then `gen_ai.usage.billed_quantity` says how many are billed.
- `SpeechRecognizer.recognize_once[_async]`: the audio up to the end of the utterance, from the result.
- `start_continuous_recognition[_async]`: audio written to a push stream, silence included, in deltas every
  CALLFARE_STT_REPORT_SECONDS and when it is stopped. With a microphone, a file or compressed audio only the ends of
  utterances are known: a floor of what is billed.

The native library does its own networking, so all this is read from calls and results. A cancelled result that says
why (no connection, wrong key, too many requests) is a refusal. Not recorded: translation, conversation transcription,
`speak(request)` of text streams.

Wrapped: the `_async` methods, which the blocking ones call; `AudioStreamFormat.__init__`,
`PushAudioInputStream.{__init__,write}`, `SpeechRecognizer.__init__`.
"""

from typing import ClassVar

from callfare.instrumentation.azure_speech import _wrap
from callfare.instrumentation.azure_speech.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["AzureSpeechInstrumentor"]

_SPEECH, _AUDIO = "azure.cognitiveservices.speech.speech", "azure.cognitiveservices.speech.audio"


class AzureSpeechInstrumentor(CallfareInstrumentor):
    """Records characters and audio seconds of Azure's speech SDK."""

    name: ClassVar[str] = "azure_speech"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap(_SPEECH, "SpeechSynthesizer.speak_text_async", _wrap.speak_text),
        Wrap(_SPEECH, "SpeechSynthesizer.speak_ssml_async", _wrap.speak_ssml),
        Wrap(_SPEECH, "SpeechSynthesizer.start_speaking_text_async", _wrap.speak_text),
        Wrap(_SPEECH, "SpeechSynthesizer.start_speaking_ssml_async", _wrap.speak_ssml),
        Wrap(_SPEECH, "SpeechRecognizer.__init__", _wrap.recogniser_made),
        Wrap(_SPEECH, "SpeechRecognizer.recognize_once_async", _wrap.recognise_once),
        Wrap(_SPEECH, "SpeechRecognizer.start_continuous_recognition_async", _wrap.start),
        Wrap(_SPEECH, "SpeechRecognizer.stop_continuous_recognition_async", _wrap.stop),
        Wrap(_AUDIO, "AudioStreamFormat.__init__", _wrap.format_made),
        Wrap(_AUDIO, "PushAudioInputStream.__init__", _wrap.stream_made),
        Wrap(_AUDIO, "PushAudioInputStream.write", _wrap.write),
    )
