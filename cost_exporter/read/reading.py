"""One span while it is read: its attributes by the names its plan found, the issues met, the draft of its call.

A `Plan` says which of the wanted attributes are there, sorted by what they mean. It depends on the names alone,
so it is made once for all spans that carry the same names, and a span costs only what its values cost.
"""

from collections.abc import Callable
from typing import Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.value import value
from cost_exporter.read.scopes import ScopeRule
from cost_exporter.read.values import count_of, flag_of, is_empty, number_of, text_of
from cost_exporter.read.wire import Attributes, Span

__all__ = ["Dialect", "Draft", "Plan", "Reading", "Scope"]

Keys = tuple[str, ...]


@value
class Scope:
    """Who made the spans: the instrumentation scope and what is special about it."""

    name: str
    version: str
    rule: ScopeRule


class Draft:
    """A call while it is put together. Dialects complete what the alias table could not find."""

    __slots__ = (
        "host",
        "is_estimated",
        "is_stream",
        "operation",
        "provider",
        "quantities",
        "reported_cost",
        "request_model",
        "response_id",
        "response_model",
        "service_tier",
        "started_at_unix_ns",
    )

    def __init__(self, operation: str, started_at_unix_ns: int) -> None:
        """Start with an operation and nothing else known."""
        self.operation = operation
        self.started_at_unix_ns = started_at_unix_ns
        self.provider = ""
        self.response_model = ""
        self.request_model = ""
        self.response_id = ""
        self.service_tier = ""
        self.host = ""
        self.is_stream: bool | None = None
        self.is_estimated = False
        self.quantities: dict[str, Quantity] = {}
        self.reported_cost: Quantity | None = None
        """A cost that only the dialect knows how to find, US dollars."""


class Reading:
    """One span being read."""

    __slots__ = ("attributes", "issues", "plan", "scope", "span")

    def __init__(self, span: Span, attributes: Attributes, scope: Scope, plan: "Plan") -> None:
        """Read `span`, whose wanted attributes are those of `plan`."""
        self.span = span
        self.attributes = attributes
        self.scope = scope
        self.plan = plan
        self.issues: list[str] = []

    def text(self, key: str) -> str:
        """Return one attribute as text; "" where it is absent or empty."""
        found = self.attributes.get(key)
        return "" if found is None else text_of(found)

    def whole_text(self, key: str, length_max: int) -> str:
        """Return a string uncut, for parsing; "" where it is absent or longer than `length_max`."""
        found = self.attributes.get(key)
        text = "" if found is None else found.string_value
        return text if len(text) <= length_max else ""

    def first_text(self, keys: Keys) -> str:
        """Return the first of some present attributes that says something."""
        attributes = self.attributes
        for key in keys:
            text = text_of(attributes[key])
            if text:
                return text
        return ""

    def first_flag(self, keys: Keys) -> bool | None:
        """Return the first of some present attributes that is a flag."""
        for key in keys:
            flag = flag_of(self.attributes[key])
            if flag is not None:
                return flag
        return None

    def first_number(self, keys: Keys) -> Quantity | None:
        """Return the first of some present attributes that is a number."""
        return self._first(number_of, keys)

    def first_count(self, keys: Keys) -> Quantity | None:
        """Return the first of some present attributes that is a count."""
        return self._first(count_of, keys)

    def _first(self, read: Callable[..., Quantity | None], keys: Keys) -> Quantity | None:
        attributes = self.attributes
        for key in keys:
            found = attributes[key]
            number = read(found)
            if number is not None:
                return number
            if not is_empty(found):
                self.issues.append(f"unreadable:{key}")
        return None


def _not_said(_reading: Reading) -> str | None:
    """Leave the operation to the conventions."""


def _nothing_to_add(_reading: Reading, _draft: Draft) -> None:
    """Leave the draft as the alias table filled it."""


@value
class Dialect:
    """How one family of emitters speaks, beyond the spellings in `aliases.py`."""

    name: str
    scopes: Keys = ()
    """Scopes that speak it: exact names, or beginnings followed by `*`."""
    markers: frozenset[str] = frozenset()
    """Attribute names that only this family writes: they tell it in a scope nobody has listed."""
    keys: frozenset[str] = frozenset()
    """Further attribute names its functions read."""
    operation: Callable[[Reading], str | None] = _not_said
    """The operation, "" for a span that is no call, None to leave it to the conventions."""
    complete: Callable[[Reading, Draft], None] = _nothing_to_add
    """Add to the draft what the alias table cannot find. What is in the draft already stays."""


@value
class Plan:
    """Which wanted attributes the spans of one kind carry, sorted by what they mean."""

    dialect: Dialect
    may_be_call: bool
    attribution: tuple[tuple[int, Keys], ...]
    """(position in `Attribution`, names)."""
    quantities: tuple[tuple[str, Keys, bool], ...]
    """(quantity, names, whether it is measured)."""
    texts: dict[str, Keys]
    flags: dict[str, Keys]
    numbers: dict[str, Keys]
    costs: tuple[int, ...]
    """Positions in `aliases.COSTS`."""


NO_KEYS: Final[Keys] = ()
