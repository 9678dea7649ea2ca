"""OpenInference for Pipecat: one span a service call, with the last metric only.

`tts.character_count` is from the last MetricsFrame alone (25 of 37 characters, measured 2.0.9); the spoken text
is in `output.value`, so the greater of the two counts. There is no STT span, and no model on the first spans.
"""

from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading
from cost_exporter.read.fields.vendor_usage import JSON_LENGTH_MAX
from cost_exporter.read.vocabulary.operations import WRAPPER

__all__ = ["DIALECT"]

_KIND: Final = "openinference.span.kind"
_OUTPUT: Final = "output.value"
_BY_SPAN_NAME: Final = {
    "pipecat.tts": "text_to_speech",
    "pipecat.stt": "speech_to_text",
    "pipecat.llm": "chat",
}


def _operation(reading: Reading) -> str | None:
    return _BY_SPAN_NAME.get(reading.span.name, "chat" if reading.text(_KIND) == "LLM" else WRAPPER)


def _complete(reading: Reading) -> None:
    if reading.operation == "text_to_speech":
        spoken = len(reading.whole_text(_OUTPUT, JSON_LENGTH_MAX).strip())
        if spoken > reading.quantities.get("characters", 0):
            reading.quantities["characters"] = spoken


DIALECT = Dialect(
    name="openinference-pipecat",
    scopes=("openinference.instrumentation.pipecat*",),
    keys=frozenset({_KIND, _OUTPUT}),
    operation=_operation,
    complete=_complete,
)
