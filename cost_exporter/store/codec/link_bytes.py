"""The links of a trace, small: 18 bytes each, the distinct attributions once beside them.

A trace has many spans that are no provider calls. They only join calls to their ancestors, so their ids and an
index into the attributions are all that is kept; the few roots add their times and state.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.span import Link, Root, SpanKey
from cost_exporter.store.codec.fact_json import attribution_from, attribution_words

__all__ = ["NO_LINKS", "PackedLinks", "pack_links", "root_from", "root_json", "unpack_links"]

_ENTRY: Final = struct.Struct(">8s8sH")
_NO_PARENT: Final = bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLinks:
    """The three columns of `trace` that hold its links; None where there is nothing to hold."""

    links: bytes | None
    attributions: str | None
    """JSON array of objects. An index into it is one less than in `links`, where 0 means that nothing is stated."""
    roots: str | None
    """JSON object by span id in hex: [started ns, ended ns, has failed, resource's attribution]."""


NO_LINKS: Final = PackedLinks(links=None, attributions=None, roots=None)


def pack_links(links: Iterable[Link]) -> PackedLinks:
    """Pack the links of one trace, in the order of their ids: the same set packs the same."""
    index_of: dict[Attribution, int] = {NO_ATTRIBUTION: 0}
    entries: list[bytes] = []
    roots: dict[str, list[Any]] = {}
    for link in sorted(links, key=lambda each: each.span_id):
        index = index_of.setdefault(link.attribution, len(index_of))
        entries.append(_ENTRY.pack(link.span_id, link.parent_span_id or _NO_PARENT, index))
        if link.root is not None:
            roots[link.span_id.hex()] = root_json(link.root)
    if not entries:
        return NO_LINKS
    distinct = [attribution_words(each) for each in list(index_of)[1:]]
    return PackedLinks(
        links=b"".join(entries),
        attributions=json.dumps(distinct, ensure_ascii=False) if distinct else None,
        roots=json.dumps(roots, ensure_ascii=False) if roots else None,
    )


def unpack_links(trace_id: bytes, packed: PackedLinks) -> dict[SpanKey, Link]:
    """Return the links by their keys."""
    if packed.links is None:
        return {}
    attributions = [NO_ATTRIBUTION, *(attribution_from(words) for words in json.loads(packed.attributions or "[]"))]
    roots: Mapping[str, list[Any]] = json.loads(packed.roots or "{}")
    found: dict[SpanKey, Link] = {}
    for span_id, parent_span_id, index in _ENTRY.iter_unpack(packed.links):
        root = roots.get(span_id.hex()) if roots else None
        found[trace_id, span_id] = Link(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=None if parent_span_id == _NO_PARENT else parent_span_id,
            attribution=attributions[index],
            root=None if root is None else root_from(root),
        )
    return found


def root_json(root: Root) -> list[Any]:
    """Return what only a root says, as a JSON array."""
    resource = attribution_words(root.resource_attribution)
    return [root.started_at_unix_ns, root.ended_at_unix_ns, root.has_failed, resource]


def root_from(content: list[Any]) -> Root:
    """Return the root of such an array."""
    started_at, ended_at, has_failed, resource = content
    return Root(
        started_at_unix_ns=started_at,
        ended_at_unix_ns=ended_at,
        has_failed=has_failed,
        resource_attribution=attribution_from(resource),
    )
