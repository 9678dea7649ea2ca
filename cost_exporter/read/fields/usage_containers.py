"""Find the usage objects on a span that no dialect reads: JSON, a Python repr or a map, whole or within an envelope."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.fields.vendor_usage import object_of, read_usage
from cost_exporter.read.vocabulary.usage_names import is_container, is_envelope, may_show_value

__all__ = ["read_containers", "usage_objects"]

_DEPTH_MAX: Final = 3


def read_containers(reading: Reading) -> None:
    """Read the usage objects on a span; a part of one too, such as `gen_ai.usage.input_token_details`."""
    for name, usage in usage_objects(reading):
        read_usage(reading, name, usage)
    for key, _ in reading.layout.unread:
        part = object_of(reading.attributes[key]) if may_show_value(key) else None
        if part:
            whole, _, name = key.rpartition(".")
            read_usage(reading, whole, {name: part})


def usage_objects(reading: Reading) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the usage objects on a span with their names."""
    for key in reading.layout.containers:
        found = object_of(reading.attributes[key])
        if is_envelope(key):
            yield from _within(found, key, _DEPTH_MAX)
        else:
            yield key, found


def _within(envelope: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name, each in envelope.items():
        if isinstance(each, Mapping):
            inner, path = cast("Mapping[str, object]", each), f"{prefix}.{name}"
            if is_container(name):
                yield path, inner
            elif depth:
                yield from _within(inner, path, depth - 1)
