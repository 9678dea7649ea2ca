"""Our own instrumentation: the attributes of `callfare.attributes`, complete by construction.

A transcription that is neither streamed nor part of a session was of a file. Speech that was interrupted, as in a
barge-in, is billed for the text that was sent, and has an issue that names it.
"""

from callfare import attributes as ours
from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]


def _complete(reading: Reading) -> None:
    if reading.is_stream is None and reading.operation == "speech_to_text" and not reading.text(ours.SESSION_ID):
        reading.is_stream = False
    reasons = reading.attributes.get(ours.FINISH_REASONS)
    if reasons is not None and any(each.string_value == "interrupted" for each in reasons.array_value.values):
        reading.issues.append("interrupted")


DIALECT = Dialect(
    name="callfare",
    scopes=("callfare", "callfare.*"),
    # The operation is on each of our spans: it has the dialect complete them all.
    keys=frozenset({ours.OPERATION_NAME, ours.FINISH_REASONS}),
    complete=_complete,
)
