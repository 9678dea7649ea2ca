"""OpenAI's realtime API in Pipecat: the transcription of the caller's speech, which is billed apart.

Pipecat reports the tokens of each answer, and leaves out those of the transcription: it does not even parse them. So
the messages of the connection are looked at before Pipecat does. An utterance whose usage is not stated, as Azure may
leave it out, is a record without usage, which is unpriced and not free.
"""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, open_call
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.openai_audio._usage import field, usage_quantities
from callfare.instrumentation.pipecat._usage import provider_of

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = ["receiving"]

_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_SESSION_EVENTS: Final = frozenset({"session.created", "session.updated"})
_LOOKED_AT: Final = (_TRANSCRIBED, *_SESSION_EVENTS)


def receiving(tracer: Tracer) -> Wrapper:
    """Wrapper of `OpenAIRealtimeLLMService._receive_task_handler`, which reads one connection to its end."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        connection = instance._websocket  # noqa: SLF001 - Pipecat offers no other way
        if connection is not None:
            instance._websocket = _Watched(connection, _Transcriptions(tracer, instance))  # noqa: SLF001
        return await wrapped(*args, **kwargs)

    return wrapper


class _Transcriptions:
    """What one connection has reported of its transcriptions."""

    def __init__(self, tracer: Tracer, service: Any) -> None:
        self._tracer = tracer
        self._provider = provider_of(service)
        self._model = _configured_model(service) or ""

    @quietly
    def on_message(self, message: Any) -> None:
        """One message; nearly all are audio, and are not parsed twice."""
        text = message if isinstance(message, str) else message.decode()
        if not any(kind in text for kind in _LOOKED_AT):
            return
        event = json.loads(text)
        kind = event.get("type")
        if kind in _SESSION_EVENTS:
            stated = field(field(field(event.get("session"), "audio"), "input"), "transcription")
            self._model = field(stated, "model") or self._model
        elif kind == _TRANSCRIBED:
            self._record(event)

    def _record(self, event: dict[str, Any]) -> None:
        part = event.get("content_index")
        request = CallRequest(
            operation="speech_to_text",
            provider=self._provider,
            model=self._model,
            quantities=usage_quantities(event, output_is_audio=False),
            source="vendor_body",
            # An item may have several parts that are transcribed, each of which is a separate call.
            attributes={
                names.RESPONSE_ID: f"{event.get('item_id') or ''}" + (f"/{part}" if part else ""),
                names.REQUEST_STREAM: True,
            },
        )
        open_call(self._tracer, request).end()


class _Watched(_ObjectProxy):
    """The connection, whose messages are noted before Pipecat reads them."""

    def __init__(self, connection: Any, transcriptions: _Transcriptions) -> None:
        super().__init__(connection)
        self._self_transcriptions = transcriptions

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for message in self.__wrapped__:
            self._self_transcriptions.on_message(message)
            yield message


@quietly
def _configured_model(service: Any) -> str:
    """What the application configured; the vendor's word on its session replaces it."""
    audio = field(field(service._settings, "session_properties"), "audio")  # noqa: SLF001
    return field(field(field(audio, "input"), "transcription"), "model") or ""
