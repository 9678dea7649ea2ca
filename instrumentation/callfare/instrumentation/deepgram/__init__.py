"""Deepgram: speech to text and text to speech, over HTTP and over sockets. SDK 3.11 to 7.

What is recorded
----------------
- Pre-recorded audio (`transcribe_url`, `transcribe_file`): Deepgram's `metadata.duration` and the channels it
    transcribed separately. With `callback=` the answer has no usage: a file is measured if its bytes allow it, anything
    else is `gen_ai.usage.source=unknown`.
- Streaming recognition (`listen.v1`, Flux `listen.v2`): audio sent, in deltas every CALLFARE_STT_REPORT_SECONDS
  and at the close, where Deepgram's closing `Metadata.duration` corrects the sum. Containers such as WebM are
  measured by the end of the latest result.
- Speech over HTTP (`speak.v1.audio.generate`, 3/4: `stream_raw`, `stream_memory`, `save`): characters sent, and
  `dg-char-count` as Deepgram's own meter.
- Speech sockets (`speak.v1`, Flux `speak.v2`): one span from the first `Speak` to its `Flushed`; Flux's own count
  of billable characters. `Clear` and `Interrupt` are barge-ins: the text that was sent is billed.
- Voice Agent (`agent.v1`): connected time.
- Add-ons and audio intelligence that a recognition asks for (diarisation, redaction, key terms, entities, summaries),
  by their names in `callfare.usage.extras`. Sources disagree about their prices: such a record is `partial`.

Not recorded: management calls.

Wrapped, 5 to 7 (and the asynchronous twins): `listen.v1.media.raw_client.RawMediaClient.{transcribe_url,
transcribe_file}`, `speak.{v1,v2}.audio.raw_client.RawAudioClient.generate`, `connect` of
`{listen,speak}.{v1,v2}` and `agent.v1`, plain and raw. 3 and 4: `clients.listen.v1.rest`, `clients.speak.v1.rest`
and the `connect` that `clients.common.v1.abstract_{sync,async}_websocket` import.
"""

from typing import ClassVar

from callfare.instrumentation.deepgram import _usage, _wrap
from callfare.instrumentation.deepgram.package import _instruments  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["DeepgramInstrumentor"]


def _file_wraps() -> list[Wrap]:
    module = "deepgram.listen.v1.media.raw_client"
    return [
        Wrap(module, f"{client}.{method}", make)
        for client, make in (("RawMediaClient", _wrap.transcribe), ("AsyncRawMediaClient", _wrap.async_transcribe))
        for method in ("transcribe_url", "transcribe_file")
    ]


def _speech_wraps() -> list[Wrap]:
    return [
        Wrap(f"deepgram.speak.{version}.audio.raw_client", f"{client}.generate", make)
        for version in ("v1", "v2")
        for client, make in (("RawAudioClient", _wrap.speak), ("AsyncRawAudioClient", _wrap.async_speak))
    ]


def _socket_wraps() -> list[Wrap]:
    services = (
        ("listen", "v1", _usage.LISTEN),
        ("listen", "v2", _usage.LISTEN),
        ("speak", "v1", _usage.SPEAK),
        ("speak", "v2", _usage.SPEAK),
        ("agent", "v1", _usage.AGENT),
    )
    return [
        wrap
        for service, version, kind in services
        for module, raw in (("client", ""), ("raw_client", "Raw"))
        for wrap in (
            Wrap(f"deepgram.{service}.{version}.{module}", _method(raw, version), _wrap.connect(kind)),
            Wrap(f"deepgram.{service}.{version}.{module}", _method(f"Async{raw}", version), _wrap.async_connect(kind)),
        )
    ]


def _method(prefix: str, version: str) -> str:
    return f"{prefix}{version.upper()}Client.connect"


def _hand_written_wraps() -> list[Wrap]:
    """SDK 3 and 4."""
    clients = "deepgram.clients"
    files = (
        ("transcribe_url", _wrap.transcribe_v3, _wrap.async_transcribe_v3),
        ("transcribe_file", _wrap.transcribe_v3, _wrap.async_transcribe_v3),
        ("transcribe_url_callback", _wrap.callback_v3, _wrap.async_callback_v3),
        ("transcribe_file_callback", _wrap.callback_v3, _wrap.async_callback_v3),
    )
    speech = ("stream_raw", "stream_memory")
    return [
        *(Wrap(f"{clients}.listen.v1.rest.client", f"ListenRESTClient.{m}", make) for m, make, _ in files),
        *(
            Wrap(f"{clients}.listen.v1.rest.async_client", f"AsyncListenRESTClient.{m}", make_async)
            for m, _, make_async in files
        ),
        *(Wrap(f"{clients}.speak.v1.rest.client", f"SpeakRESTClient.{m}", _wrap.speak_v3) for m in speech),
        *(
            Wrap(f"{clients}.speak.v1.rest.async_client", f"AsyncSpeakRESTClient.{m}", _wrap.async_speak_v3)
            for m in speech
        ),
        Wrap(f"{clients}.common.v1.abstract_sync_websocket", "connect", _wrap.connect_function),
        Wrap(f"{clients}.common.v1.abstract_async_websocket", "connect", _wrap.async_connect_function),
    ]


class DeepgramInstrumentor(CallfareInstrumentor):
    """Records audio seconds and characters of Deepgram's SDK."""

    name: ClassVar[str] = "deepgram"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (*_file_wraps(), *_speech_wraps(), *_socket_wraps(), *_hand_written_wraps())
