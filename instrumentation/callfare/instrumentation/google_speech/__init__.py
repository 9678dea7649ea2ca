"""Google Cloud Speech-to-Text: recognised audio, v1, v1p1beta1 and v2, synchronous and asyncio.

What is recorded
----------------
- `recognize`: the billed seconds that the answer states, else the length of the audio sent.
- `streaming_recognize`: audio sent, in deltas every CALLFARE_STT_REPORT_SECONDS, and the vendor's billed total at
  the end. Encodings without a fixed rate are counted by that total alone.
- `long_running_recognize`, `batch_recognize`: when `result()` is asked for. An operation whose result another
  process fetches is not recorded.

Google's billed seconds are rounded and have the channels multiplied already: one channel is stated beside them.
Recognised files cost what streams cost, so `gen_ai.request.stream` is false on a dynamic batch alone, which is cheaper.

Wrapped: those methods of `services.speech.client.SpeechClient` and `services.speech.async_client.SpeechAsyncClient`
in `google.cloud.speech_v1`, `speech_v1p1beta1` and `speech_v2`.
"""

from typing import ClassVar

from callfare.instrumentation.google_speech import _wrap
from callfare.instrumentation.google_speech.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["GoogleSpeechInstrumentor"]


def _wraps(version: str, long_form: str) -> list[Wrap]:
    package = f"google.cloud.{version}.services.speech"
    return [
        Wrap(f"{package}.client", "SpeechClient.recognize", _wrap.recognize),
        Wrap(f"{package}.client", "SpeechClient.streaming_recognize", _wrap.stream),
        Wrap(f"{package}.client", f"SpeechClient.{long_form}", _wrap.long_running),
        Wrap(f"{package}.async_client", "SpeechAsyncClient.recognize", _wrap.async_recognize),
        Wrap(f"{package}.async_client", "SpeechAsyncClient.streaming_recognize", _wrap.async_stream),
        Wrap(f"{package}.async_client", f"SpeechAsyncClient.{long_form}", _wrap.async_long_running),
    ]


class GoogleSpeechInstrumentor(CallfareInstrumentor):
    """Records the audio seconds of Google's recognition."""

    name: ClassVar[str] = "google_speech"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        *_wraps("speech_v1", "long_running_recognize"),
        *_wraps("speech_v1p1beta1", "long_running_recognize"),
        *_wraps("speech_v2", "batch_recognize"),
    )
