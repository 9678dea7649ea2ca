"""CSV and NDJSON: a report of any length as a stream, with the columns of SQL, exact, an unknown cost empty or null.

Rows are read and sent a few at a time. What a stream could not finish ends without its last line being cut: the
connection is closed, which HTTP shows to the reader as an incomplete answer.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, Literal

from starlette.responses import Response, StreamingResponse

from cost_exporter.report.amounts import jsonable
from cost_exporter.safe_text import for_spreadsheet
from cost_exporter.serve.answers import BadRequest, quoted

__all__ = ["Form", "form_of", "streamed"]

Form = Literal["json", "csv", "ndjson"]
Row = Mapping[str, Any]
_MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
_ROWS_AT_ONCE: Final = 200


def form_of(asked: str | None, default: Form = "json", forms: Sequence[Form] = ("json", "csv", "ndjson")) -> Form:
    """Return the form that is asked for. Raises `BadRequest`."""
    if not asked:
        return default
    for form in forms:
        if asked == form:
            return form
    raise BadRequest(f"format {quoted(asked)} is unknown; choose from {', '.join(forms)}")


def streamed(rows: Iterator[Row], columns: Sequence[str], form: Form, name: str) -> Response:
    """Return rows as a stream. The first of them is read before anything is answered, so that an error has its status.

    `columns` are those of the CSV; the objects of NDJSON have the same, with nested values as they are.
    """
    begun = chain(list(islice(rows, 1)), rows)
    content = _csv(begun, columns) if form == "csv" else _ndjson(begun, columns)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(content, media_type=_MEDIA_TYPES[form], headers=headers)


def _csv(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    yield _csv_lines([columns])
    for some in _parts(rows):
        yield _csv_lines([[_cell(row.get(name)) for name in columns] for row in some])


def _ndjson(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    for some in _parts(rows):
        yield "".join(json.dumps({name: jsonable(row.get(name)) for name in columns}) + "\n" for row in some)


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while some := list(islice(iterator, _ROWS_AT_ONCE)):
        yield some


def _csv_lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(content: Any) -> str:
    plain = jsonable(content)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return str(plain).lower()
    return for_spreadsheet(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))
