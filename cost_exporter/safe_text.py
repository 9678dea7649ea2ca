r"""Text that somebody else wrote, made safe for where it is shown: a terminal, a spreadsheet, a page, a log, a metric.

Names come from the senders of spans. In each medium some characters are commands: they clear a terminal, start a
formula, end a row or a line, or reverse the order of what is read. Here they become their visible escapes, `\x1b`,
and nothing else of a name is changed. Every medium has its function, and all share one list of characters.
"""

import re
import unicodedata
from typing import Any, Final

__all__ = ["for_html", "for_json", "for_log", "for_markdown", "for_metric_label", "for_spreadsheet", "for_terminal"]

_COMMANDS: Final = (
    r"\x00-\x1f\x7f-\x9f"  # C0 and C1 controls: escape sequences, line ends, tabs
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or changing the direction
    r"\u2028-\u202e"  # line and paragraph separators; embeddings and overrides of the direction
    r"\ud800-\udfff\ufffe\uffff"  # no characters: they cannot be encoded, or not in XML
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
"""Controls, invisible format characters and separators of lines. Joiners stay: scripts and emoji need them."""
_COMMAND: Final = re.compile(f"[{_COMMANDS}]")
_COMMAND_IN_JSON: Final = re.compile(f"(?!\n)[{_COMMANDS}]")
_FORMULA_STARTS: Final = frozenset("=+-@|%")
_NUMBER: Final = re.compile(r"[-+]?\d[\d.]*", re.ASCII)
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>|#~&!])")


def for_terminal(text: str) -> str:
    r"""Return one line in which no character moves the cursor, changes the terminal or the direction of reading."""
    return _COMMAND.sub(_escape, text)


def for_log(text: str) -> str:
    """Return one log line: a line end in a name would forge the next."""
    return for_terminal(text)


def for_metric_label(text: str) -> str:
    """Return the value of a label, which some parsers of Prometheus' format would end at any line separator."""
    return for_terminal(text)


def for_html(something: Any) -> Any:
    """Return what a template is to show; the template itself escapes the markup in it. Only text is changed."""
    return for_terminal(something) if type(something) is str else something


def for_spreadsheet(cell: str) -> str:
    """Return a cell of CSV or XLSX that no program takes for a formula, and that cannot end its row."""
    shown = for_terminal(cell)
    first = unicodedata.normalize("NFKC", shown.lstrip()[:1])  # a full-width = is one, too
    return "'" + shown if first in _FORMULA_STARTS and not _NUMBER.fullmatch(shown) else shown


def for_markdown(cell: str) -> str:
    """Return a cell of a markdown table in which nothing is markup. A figure stays as it is."""
    shown = for_terminal(" ".join(cell.split()))
    return shown if _NUMBER.fullmatch(shown) else _MARKUP.sub(r"\\\1", shown)


def for_json(document: str) -> str:
    r"""Return a JSON document with its invisible characters escaped as JSON does: it stands for the same values."""
    return _COMMAND_IN_JSON.sub(_json_escape, document)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
