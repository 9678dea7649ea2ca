"""Name the usage on a span that nothing read, so that the rest does not get a price that looks complete.

A number with a name of usage that no table reads is unread usage. If it can only be a part of a total that was read,
the record is an estimate: a part may have a price of its own. If it may be more, the record is partial; so it is if our
own Collector removed the number (`redaction.redacted.keys` has its name). A number that repeats one read under another
name is neither.
"""

from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.otlp.values import number_of, text_of
from cost_exporter.read.otlp.wire import AnyValue
from cost_exporter.read.vocabulary.usage_names import UsageName, may_show_value, usage_name

__all__ = ["name_unread_usage"]

_NAME_LENGTH_MAX: Final = 80


def name_unread_usage(reading: Reading) -> None:
    """Name the attributes of a span, and the leaves of its usage objects, that are usage and were not read."""
    for key, meaning in reading.layout.unread:
        number = number_of(reading.attributes[key])
        if number is not None:
            _judge(reading, key, number, meaning)
        elif may_show_value(key) and _holds_numbers(reading.attributes[key]):
            reading.issues.append(f"unread_usage: {key[:_NAME_LENGTH_MAX]}")
            reading.has_unread_usage = reading.is_incomplete = True
    for name in reading.identity.redacted:
        reading.issues.append(f"unread_usage: {name[:_NAME_LENGTH_MAX]} (redacted)")
        reading.has_unread_usage = reading.is_incomplete = True
    for name, leaves, read in reading.usage_objects or ():
        for path, number in leaves.items():
            meaning = None if path in read else usage_name(path, is_in_container=True)
            if meaning is not None:
                _judge(reading, f"{name}.{path}", number, meaning)


def _holds_numbers(value: AnyValue) -> bool:
    """Return whether a value is a list of numbers, or the text of one, or begins as a number with its unit does."""
    if value.WhichOneof("value") == "array_value":
        return any(number_of(each) is not None for each in value.array_value.values)
    return text_of(value).lstrip("[ ")[:1].isdigit()


def _judge(reading: Reading, name: str, number: Quantity, meaning: UsageName) -> None:
    quantities = reading.quantities
    if number <= 0 or any(quantities.get(quantity) == number for quantity in meaning.says):
        return
    shown = f" = {number}" if may_show_value(name) else ""
    reading.issues.append(f"unread_usage: {name[:_NAME_LENGTH_MAX]}{shown}")
    reading.has_unread_usage = True
    if number > quantities.get(meaning.total, 0):
        reading.is_incomplete = True
