"""Cursors: where the next page of a list begins, as a text that the caller hands back unchanged.

A cursor is for one list with one order and one filter. It holds a digest of them and of itself: with any other list, or
changed on the way, it is a `BadRequest`. It opens nothing: what a sender may see is decided for each request.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from cost_exporter.serve.answers import BadRequest
from cost_exporter.store.browsing import Place, Sort, WorkflowFilter

__all__ = ["cursor_of", "place_of"]

_DIGEST_LENGTH: Final = 16
_LENGTH_MAX: Final = 4_096
_WRONG: Final = "cursor is not one of this list; take next_cursor from the page before, with the same filter and sort"


def cursor_of(place: Place, sort: Sort, wanted: WorkflowFilter) -> str:
    """Return the cursor of the page that begins after a place."""
    body = [_key_text(place.key), place.trace_id.hex, place.tenant, place.namespace]
    text = json.dumps(body, ensure_ascii=False)
    return urlsafe_b64encode((_digest(text, sort, wanted) + text).encode()).decode().rstrip("=")


def place_of(cursor: str | None, sort: Sort, wanted: WorkflowFilter) -> Place | None:
    """Return where the page begins; None for the first one. Raises `BadRequest`."""
    if not cursor:
        return None
    if len(cursor) > _LENGTH_MAX:
        raise BadRequest(_WRONG)
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise BadRequest(_WRONG) from None
    digest, text = decoded[:_DIGEST_LENGTH], decoded[_DIGEST_LENGTH:]
    if digest != _digest(text, sort, wanted):
        raise BadRequest(_WRONG)
    key, trace_id, tenant, namespace = json.loads(text)
    return Place(key=_key_of(key, sort), trace_id=UUID(hex=trace_id), tenant=tenant, namespace=namespace)


def _digest(text: str, sort: Sort, wanted: WorkflowFilter) -> str:
    query = repr((text, sort, sorted((name, str(one)) for name, one in wanted.parameters().items())))
    return sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]


def _key_text(key: Any) -> str:
    match key:
        case datetime():
            return key.isoformat()
        case timedelta():
            return str(key // timedelta(microseconds=1))
        case None:
            return "0"
        case _:
            return str(key)


def _key_of(text: str, sort: Sort) -> Any:
    match sort:
        case "started":
            return datetime.fromisoformat(text)
        case "cost":
            return Decimal(text)
        case "duration":
            return timedelta(microseconds=int(text))
