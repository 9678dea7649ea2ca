"""What passes between reading and storing: the facts of a request, its dead letters, and the receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cost_exporter.domain.span import Call, Link, SpanKey
from cost_exporter.domain.timing import Timing

__all__ = ["DeadLetter", "Facts", "OutgoingSpan", "Receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A span, or a whole request, that cannot be kept as a record. Held durably, content stripped, replayable."""

    reason: str
    """Short code; docs/architecture.md lists them all, and which of them a replay can store."""
    detail: str = ""
    """One line for a person; never an attribute's value."""
    trace_id: bytes = b""
    span_id: bytes = b""
    payload: bytes = b""
    """An ExportTraceServiceRequest with just this span, content stripped, at most 64 KiB; b"" if not to be kept."""


class OutgoingSpan(NamedTuple):
    """A span to be forwarded with its cost, in the three messages that OTLP nests, each serialised."""

    resource: bytes
    scope: bytes
    span: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The content of one request, read and waiting to be stored in one transaction."""

    namespace: str
    """Tenant of the credential; `default` without tokens."""
    received_at_unix_ns: int
    tenant_is_trusted: bool = True
    """False where the namespace comes from a credential: then it is the tenant, whatever attributes say."""
    calls: Sequence[Call] = ()
    links: Sequence[Link] = ()
    look_alikes: Sequence[Call] = ()
    """Links that look like provider calls, as the calls they would be."""
    timings: Sequence[Timing] = ()
    """What calls and links say of time and turns."""
    dead_letters: Sequence[DeadLetter] = ()
    outgoing: Mapping[SpanKey, OutgoingSpan] = field(default_factory=dict)
    """The spans to be forwarded: the calls', and those of links that are marked for it."""
    ignored_count: int = 0
    """Spans that are neither billed nor needed; they are counted and forgotten. Links count as ignored too."""
    tenant_claims_ignored_count: int = 0
    """Spans whose tenant attribute disagreed with the credential."""

    @property
    def span_count(self) -> int:
        """How many spans the request held."""
        return len(self.calls) + len(self.dead_letters) + self.ignored_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The results for the spans of one request, after COMMIT. `received` is the sum of the others."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    """The same span with the same content was stored already."""
    conflict: int = 0
    """The same span with other content was stored already; the better one is the record, the other a revision."""
    ignored: int = 0
    dead_letter: int = 0

    @property
    def warning(self) -> str:
        """The text for OTLP's partial_success in its warning form; "" if there is nothing to warn of."""
        if not self.dead_letter:
            return ""
        return f"{self.dead_letter} span(s) kept as dead letters; see `callfare deadletter list`"
