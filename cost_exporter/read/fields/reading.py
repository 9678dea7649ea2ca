"""One span while it is read, and what is known beforehand of all spans like it.

Spans of one emitter are alike: the same attribute names, and the same few words in most of them. So what the
names mean is worked out once per set of names (`AttributeLayout`), what the words mean once per combination
(`CallIdentity`), and a single span costs only its ids, times and counts. A `Reading` is that span; dialects add to it
what the alias table cannot find.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.span import Call
from cost_exporter.read.otlp.values import count_of, flag_of, is_empty, number_of, text_of
from cost_exporter.read.otlp.wire import Attributes, EncodedAttributes, Span
from cost_exporter.read.vocabulary.names import Names
from cost_exporter.read.vocabulary.scopes import ScopeRule
from cost_exporter.read.vocabulary.usage_names import UsageName

__all__ = [
    "NO_KEYS",
    "AttributeLayout",
    "CallIdentity",
    "Dialect",
    "EncodedValues",
    "Keys",
    "Origin",
    "Reading",
    "RuledScope",
]

Keys = tuple[str, ...]
NO_KEYS: Final[Keys] = ()
EncodedValues = Callable[[EncodedAttributes], tuple[bytes, ...]]
"""Takes the values of certain attributes from a span that has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuledScope:
    """The instrumentation scope of spans, and its rule."""

    name: str
    version: str
    rule: ScopeRule


@dataclass(slots=True, kw_only=True)
class CallIdentity:
    """The meaning of the texts on a span: everything that many spans share. Only the template is added later."""

    operation: str | None
    """As the conventions' attribute states it, canonical; None where it is absent."""
    provider: str
    response_model: str
    request_model: str
    service_tier: str
    address: str
    """The five above as stated; the rest is worked out from them."""
    names: Names
    tier: str
    mode: str
    """As stated in words: a session is a stream, and a transcription known not to be live is batch."""
    is_stream: bool | None
    is_billable: bool
    is_estimated: bool
    fingerprint: str
    """Hash of the fields derived from them."""
    redacted: Keys = NO_KEYS
    """Names of usage whose attributes were removed on the way."""
    template: Call | None = None
    """A plain call with these words, once one was read: others are copies of it, see `plain.py`."""


class Origin(NamedTuple):
    """The attributes of a resource, which apply to all its spans."""

    service_name: str
    attribution: Attribution
    tenant_claim: str | None
    """The tenant the resource names, whether it is believed or not."""
    fingerprint: str
    """Stands for all of it."""


class UsageObject(NamedTuple):
    """A usage object found inside an attribute."""

    name: str
    leaves: Mapping[str, Quantity]
    """Its numbers by their paths."""
    read: AbstractSet[str]
    """The paths that somebody reads."""


class Reading:
    """One span being read, and the fields of its call found so far."""

    # No __slots__: what most spans do not say stays a default of the class and costs nothing.
    provider: str
    response_model: str
    request_model: str
    service_tier: str
    """As stated; set only for dialects that complete a reading."""
    is_stream: bool | None
    is_billable: bool
    is_estimated: bool
    reported_cost: Quantity | None = None
    """A cost that only the dialect knows how to find, US dollars."""

    stated_tier: str = ""
    """The service tier in a usage object, for spans that state none elsewhere."""
    speed: str = ""
    """A vendor's faster answer at another price."""

    operation: str = ""
    response_id: str = ""
    is_look_alike: bool = False
    is_no_call: bool = False
    """Its dialect knows that no provider was asked here, or that another span is the call."""
    has_vendor_id: bool = False
    """The response id is the vendor's, although the emitter mostly invents its own."""
    resolves_alias: bool = False
    """It names the model behind another name, which is all that the client of a gateway knows."""
    is_gateway: bool = False
    """A gateway made it, and it names the provider and the model that were asked."""
    has_vendors_counts: bool = False
    """The totals are the vendor's own, and inclusive: no part has to be added to them."""
    has_input_cached: bool | None = None
    """Whether what was cached is in the input, where a usage object shows it."""
    has_output_thoughts: bool | None = None
    """Whether the thoughts are in the output, where a usage object shows it."""
    is_input_foreign: bool = False
    """The input is that of a usage object which no dialect reads: the scope's rule is not about it."""
    has_unread_usage: bool = False
    """The span has usage that was not read, see `unread.py`."""
    is_incomplete: bool = False
    """The attributes that were not read may hold more usage than the totals that were."""

    def __init__(  # noqa: PLR0917 - built once a span, where keywords would cost
        self,
        span: Span,
        attributes: Attributes,
        layout: "AttributeLayout",
        identity: CallIdentity,
        parent_span_id: bytes | None,
        times: tuple[int, int, bool],
        attribution: Attribution,
        origin: Origin,
    ) -> None:
        """Read `span`, whose wanted attributes are those of `layout`; `times` as from `plausible_times`."""
        self.span = span
        self.attributes = attributes
        self.scope = layout.scope
        self.layout = layout
        self.identity = identity
        self.parent_span_id = parent_span_id
        self.started_at_unix_ns, self.ended_at_unix_ns, self.is_start_plausible = times
        self.attribution = attribution
        self.origin = origin
        self.issues: list[str] = []
        self.quantities: dict[str, Quantity] = {}
        self.usage_objects: list[UsageObject] | None = None

    def saw_usage(self, name: str, leaves: Mapping[str, Quantity], read: AbstractSet[str]) -> None:
        """Remember the numbers of a usage object, and which of them can be read: the others are named at the end."""
        if self.usage_objects is None:
            self.usage_objects = []
        self.usage_objects.append(UsageObject(name, leaves, read))

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
        return first_text(self.attributes, keys)

    def first_flag(self, keys: Keys) -> bool | None:
        """Return the first of some present attributes that is a flag."""
        return first_flag(self.attributes, keys)

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


def first_text(attributes: Attributes, keys: Keys) -> str:
    """Return the first of some present attributes that says something; "" if none does."""
    for key in keys:
        text = text_of(attributes[key])
        if text:
            return text
    return ""


def first_flag(attributes: Attributes, keys: Keys) -> bool | None:
    """Return the first of some present attributes that is a flag."""
    for key in keys:
        flag = flag_of(attributes[key])
        if flag is not None:
            return flag
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one family of emitters speaks, beyond the spellings in `aliases.py`."""

    name: str
    scopes: Keys = ()
    """Scopes that speak it: exact names, or beginnings followed by `*`."""
    markers: frozenset[str] = frozenset()
    """Attribute names that only this family writes: they identify it in a scope that is not listed."""
    keys: frozenset[str] = frozenset()
    """Further attribute names its functions read."""
    operation: Callable[[Reading], str | None] | None = None
    """The operation, "" for a span that is no call, None to leave it to the conventions."""
    needs_marker: bool = False
    """Whether `operation` leaves spans without any of the markers to the conventions; it is not asked of them."""
    parts: frozenset[str] = frozenset()
    """Names of spans that carry a model and are no call: attempts, turns that other spans report, what is free."""
    complete: Callable[[Reading], None] | None = None
    """Add to the reading what the alias table cannot find; what is there already stays. Called for spans that
    carry one of the markers or keys, or for all if the dialect has neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeLayout:
    """Which wanted attributes the spans of one kind carry, sorted by what they mean."""

    scope: RuledScope
    dialect: Dialect
    operation: Callable[[Reading], str | None] | None
    """The dialect's, where it has something to say of such spans."""
    may_be_call: bool
    attribution_places: tuple[tuple[int, Keys], ...]
    """(position in `Attribution`, names)."""
    attribution_values: EncodedValues
    attributions: dict[tuple[bytes, ...], Attribution]
    """Memo: the meaning of these attributes, by their encoded values."""
    identity_values: EncodedValues
    """Of words and of flags."""
    identities: dict[tuple[bytes, ...], CallIdentity]
    """Memo: the meaning of these texts and flags, by their encoded values."""
    quantities: tuple[tuple[str, str, Keys, bool], ...]
    """(quantity, first name, all names, whether it is measured)."""
    counts: tuple[tuple[str, str], ...]
    """The first two of each."""
    has_cache: bool
    splits_writes: bool
    """Whether parts of the cache writes are stated."""
    has_reasoning: bool
    alternatives: tuple[tuple[str, str], ...]
    """Pairs of names of one quantity: the one that is read, and another."""
    total_keys: Keys
    """Of input and output together."""
    weighs_totals: bool
    """Whether the span may report a part of a total outside of that total."""
    unread: tuple[tuple[str, UsageName], ...]
    """Attributes with names of usage that nothing reads."""
    containers: Keys
    """Attributes that may hold a usage object and that the dialect does not read."""
    response_id_keys: Keys
    texts: dict[str, Keys]
    flags: dict[str, Keys]
    numbers: dict[str, Keys]
    costs: tuple[int, ...]
    """Positions in `aliases.COSTS`."""
    may_report_failure: bool
    """Whether an attribute can say that the call failed, beside the span's status."""
    is_plain: bool
    """Nothing rare is present: no session, no phone call, no stated cost, no billed quantity."""
    completes: bool
    """Whether the dialect has something to complete on such spans."""
    is_streamed: bool
    """The order of the attributes is that of a stream, where the emitter does not state it otherwise."""
    timing_keys: Keys
    """What says how long somebody waited, or how a conversation went."""
    has_template: bool
    """Whether ids, times, counts and attribution are all that plain spans with the same words differ in."""
