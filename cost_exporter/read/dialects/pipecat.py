"""Pipecat's own tracing: spans `tts`, `stt` and `llm` of scope `pipecat`, under turns of scope `pipecat.turn`.

The provider is the class name of the service (`elevenlabshttp`). Its STT is always live. What never reaches a
span: audio after the last final transcript (2.2 of 3.2 s, measured 1.14.0); our observer has it.
"""

from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]


def _complete(reading: Reading) -> None:
    if reading.operation == "speech_to_text" and reading.is_stream is None:
        reading.is_stream = True


DIALECT = Dialect(
    name="pipecat",
    scopes=("pipecat", "pipecat.*"),
    markers=frozenset({"metrics.character_count", "metrics.audio_seconds"}),
    complete=_complete,
)
