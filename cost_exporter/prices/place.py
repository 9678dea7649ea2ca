"""Values with their place in a file, so that an error can name line and column.

YAML is composed to nodes, not loaded to objects: a float is still recognisable as such, and nothing is
rounded on the way. JSON (ad-hoc rates of `prices quote`) is wrapped the same way, without places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from cost_exporter.errors import PriceFileError

__all__ = ["Node", "compose", "wrap"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "int",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "time",
}
_TRUE = frozenset({"true", "yes", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value of a price file: a text with the kind its writing implies, a list, or a mapping."""

    kind: str
    """text, int, float, bool, null, time, list or map."""
    text: str = ""
    items: tuple["Node", ...] = ()
    fields: Mapping[str, "Node"]
    file: str = ""
    line: int = 0
    column: int = 0

    def error(self, problem: str, fix: str) -> PriceFileError:
        """Return the error that names this place, what is wrong and what to do."""
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        return PriceFileError(f"{place}{problem}; {fix}")

    @property
    def canonical(self) -> Any:
        """The content of the file, regardless of comments, layout and the order of keys."""
        if self.kind == "list":
            return [item.canonical for item in self.items]
        if self.kind == "map":
            return {name: field.canonical for name, field in sorted(self.fields.items())}
        return [self.kind, self.text]

    @property
    def is_true(self) -> bool:
        """Whether a node of kind bool says yes."""
        return self.text.lower() in _TRUE


def compose(text: str, file: str) -> Node:
    """Return the one document in a YAML text; an empty one is an empty mapping."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise PriceFileError(f"{place}: not YAML: {error.problem}; correct the syntax there") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise PriceFileError(f"{file}: not YAML: {type(error).__name__}; save it as UTF-8 text") from None
    if root is None:
        return Node(kind="map", fields={}, file=file)
    return _node(root, file)


def _node(raw: yaml.Node, file: str) -> Node:
    line, column = raw.start_mark.line + 1, raw.start_mark.column + 1
    if isinstance(raw, yaml.ScalarNode):
        kind = _KINDS.get(raw.tag, "text")
        return Node(kind=kind, text=str(raw.value), fields={}, file=file, line=line, column=column)
    if isinstance(raw, yaml.SequenceNode):
        items = tuple(_node(item, file) for item in raw.value)
        return Node(kind="list", items=items, fields={}, file=file, line=line, column=column)
    assert isinstance(raw, yaml.MappingNode)
    return Node(kind="map", fields=_fields(raw, file), file=file, line=line, column=column)


def _fields(raw: yaml.MappingNode, file: str) -> dict[str, Node]:
    """Return the fields of a mapping; one without a value is as if it were not there."""
    fields: dict[str, Node] = {}
    for raw_key, raw_value in raw.value:
        key = _node(raw_key, file)
        if key.text in fields:
            raise key.error(f"{key.text!r} is given twice", "remove one")
        fields[key.text] = _node(raw_value, file)
    return {name: field for name, field in fields.items() if field.kind != "null"}


def wrap(raw: object, file: str = "") -> Node:
    """Return a value read from JSON as a node. Numbers with a point must have been read as `Decimal`."""
    if isinstance(raw, Mapping):
        fields: dict[str, Node] = {str(key): wrap(item, file) for key, item in raw.items() if item is not None}
        return Node(kind="map", fields=fields, file=file)
    if isinstance(raw, list | tuple):
        return Node(kind="list", items=tuple(wrap(item, file) for item in raw), fields={}, file=file)
    if isinstance(raw, bool):
        return Node(kind="bool", text=str(raw).lower(), fields={}, file=file)
    kind = "int" if isinstance(raw, int) else "float" if isinstance(raw, Decimal) else "text"
    return Node(kind=kind, text=str(raw), fields={}, file=file)
