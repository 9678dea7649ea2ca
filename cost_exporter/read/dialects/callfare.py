"""Our own instrumentation: the attributes of `callfare.attributes`, complete by construction.

A transcription that is neither streamed nor part of a session was of a file.
"""

from callfare import attributes as ours
from cost_exporter.read.reading import Dialect, Reading

__all__ = ["DIALECT"]


def _complete(reading: Reading) -> None:
    if reading.is_stream is None and reading.operation == "speech_to_text" and not reading.text(ours.SESSION_ID):
        reading.is_stream = False


DIALECT = Dialect(name="callfare", scopes=("callfare", "callfare.*"), complete=_complete)
