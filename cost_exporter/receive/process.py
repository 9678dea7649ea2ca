"""Start-up of every process of the service: one format of log lines, and less frequent garbage collection."""

import gc
import logging
from typing import Any, Final

from cost_exporter.safe_text import for_log

__all__ = ["OneLineFormatter", "collect_garbage_less_often", "start_logging"]

_FORM: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class OneLineFormatter(logging.Formatter):
    """Writes a record in one line, whatever names are in it; a traceback follows in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line."""
        return for_log(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback. Its last lines quote what somebody sent."""
        return "\n".join(map(for_log, super().formatException(ei).split("\n")))


def start_logging() -> None:
    """Write warnings and errors to standard error, the same way in every process."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(_FORM))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def collect_garbage_less_often() -> None:
    """Let the collector look at young objects only now and then, and never again at what was loaded at the start.

    Ingest makes many small objects that die with their request and form no cycles; looking for cycles among them
    took about a tenth of the CPU of a span.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
