"""What an attribute says, as a plain Python value."""

from typing import Any

from cost_exporter.read.otlp.attribute_values import value_of
from cost_exporter.read.otlp.wire import AnyValue


def plain(value: AnyValue | bytes) -> Any:
    """The value of an attribute of a span (bytes) or of a resource: str, bool, int, float, bytes, list, dict, None."""
    decoded = value_of(value) if isinstance(value, bytes) else value
    kind = decoded.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(each) for each in decoded.array_value.values]
    if kind == "kvlist_value":
        return {key: plain(each) for key, each in decoded.kvlist_value.values.items()}
    return getattr(decoded, kind)
