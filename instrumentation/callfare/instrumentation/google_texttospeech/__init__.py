"""Google Cloud Text-to-Speech: characters, v1 and v1beta1, synchronous and asyncio.

What is recorded
----------------
- `synthesize_speech`: code points of text, markup or SSML (tags count, `<mark>` does not).
- `streaming_synthesize`: the text of every request that gRPC took; leaving the answers early bills it all.

The model is the voice's name, because the price depends on the tier in it (`en-US-Chirp3-HD-Aoede`). A request that
names only a language has no model, and is unpriced unless the operator's price file says what it gets.
Not recorded: long audio synthesis.

Wrapped: those methods of `services.text_to_speech.client.TextToSpeechClient` and
`services.text_to_speech.async_client.TextToSpeechAsyncClient` in `google.cloud.texttospeech_v1` and
`texttospeech_v1beta1`.
"""

from typing import ClassVar

from callfare.instrumentation.google_texttospeech import _wrap
from callfare.instrumentation.google_texttospeech.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["GoogleTextToSpeechInstrumentor"]


def _wraps(version: str) -> list[Wrap]:
    package = f"google.cloud.{version}.services.text_to_speech"
    client, async_client = "TextToSpeechClient", "TextToSpeechAsyncClient"
    return [
        Wrap(f"{package}.client", f"{client}.synthesize_speech", _wrap.synthesize),
        Wrap(f"{package}.client", f"{client}.streaming_synthesize", _wrap.stream),
        Wrap(f"{package}.async_client", f"{async_client}.synthesize_speech", _wrap.async_synthesize),
        Wrap(
            f"{package}.async_client",
            f"{async_client}.streaming_synthesize",
            _wrap.async_stream,
        ),
    ]


class GoogleTextToSpeechInstrumentor(CallfareInstrumentor):
    """Records the characters of Google's synthesis."""

    name: ClassVar[str] = "google_texttospeech"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (*_wraps("texttospeech_v1"), *_wraps("texttospeech_v1beta1"))
