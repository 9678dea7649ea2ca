import io
import logging
import sys

from cost_exporter.receive.process import OneLineFormatter

FORGED = "shop\n2026-11-30 00:00:00 ERROR callfare: all is lost\x1b[2J\u202e\u2028"


def logged(message: str, *arguments: object, with_error: bool = False) -> str:
    """What a service writes to standard error."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLineFormatter("%(levelname)s %(message)s"))
    error = sys.exc_info() if with_error else None
    handler.emit(logging.LogRecord("name", logging.WARNING, "", 1, message, arguments, error))
    return stream.getvalue()


def test_a_name_forges_no_log_line() -> None:
    """A service's name comes from whoever sends spans: it stays within its line, and commands no terminal."""
    assert logged("%s sends twice", FORGED) == (
        "WARNING shop\\n2026-11-30 00:00:00 ERROR callfare: all is lost\\x1b[2J\\u202e\\u2028 sends twice\n"
    )


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    """What an error quotes is as harmless as a message; the stack stays readable."""
    try:
        int(FORGED.replace("\n", "\r"))
    except ValueError:
        text = logged("failed", with_error=True)
    assert text.startswith("WARNING failed\nTraceback (most recent call last):\n")
    assert not set("\r\x1b\u202e\u2028") & set(text)
    assert "all is lost" in text.splitlines()[-1]
