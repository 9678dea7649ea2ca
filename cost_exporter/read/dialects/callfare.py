"""Our own instrumentation: the attributes of `callfare.attributes`, complete by construction.

A transcription that is neither streamed nor part of a session was of a file.
"""

from callfare import attributes as ours
from cost_exporter.read.reading import Dialect, Draft, Reading

__all__ = ["DIALECT"]


def _complete(reading: Reading, draft: Draft) -> None:
    if draft.is_stream is None and draft.operation == "speech_to_text" and not reading.text(ours.SESSION_ID):
        draft.is_stream = False


DIALECT = Dialect(name="callfare", scopes=("callfare", "callfare.*"), complete=_complete)
