"""Read a decoded request into facts: a `Call` for every span of a provider call, a `Link` for every other.

The hot path: a span costs one look at the names of its attributes, and more only if it carries a name that
means something. One bad span never costs its batch: a span without proper ids, and one whose reading fails
through our own fault, becomes a dead letter with its content stripped, and the others go on.
"""

from collections.abc import Sequence
from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.facts import DeadLetter, Facts
from cost_exporter.domain.span import Call, Link, Root, plain_link
from cost_exporter.domain.timing import Timing
from cost_exporter.read.call import read_call
from cost_exporter.read.dead_letter import dead_letter_of
from cost_exporter.read.fields.identity import identity_of
from cost_exporter.read.fields.reading import AttributeLayout, Origin, Reading
from cost_exporter.read.fields.times import latest_start, plausible_times
from cost_exporter.read.layout import ScopeLayouts, layouts_of_scope
from cost_exporter.read.origin import attribution_of, origin_of, without_tenant
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_values import SpanAttributes, UnreadableValue
from cost_exporter.read.otlp.repair import DETAILS
from cost_exporter.read.otlp.values import clean_text
from cost_exporter.read.plain import read_from_template
from cost_exporter.read.timing import timing_of

__all__ = ["read_request"]

_NO_TRACE_ID: Final = bytes(16)
_NO_SPAN_ID: Final = bytes(8)
_ERROR: Final = 2


def read_request(
    resource_spans: Sequence[wire.ResourceSpans],
    *,
    namespace: str,
    received_at_unix_ns: int,
    tenant_is_trusted: bool,
    trusted_cost_sources: frozenset[str] = frozenset(),
    dead_letters: Sequence[DeadLetter] = (),
    streamed_spans: frozenset[bytes] = frozenset(),
) -> Facts:
    """Return the facts of one request. `dead_letters` are those the receiver could not decode.

    `streamed_spans`: ids of those whose order of attributes shows a stream, see `otlp/attribute_order.py`.
    """
    reader = _Reader(
        namespace,
        received_at_unix_ns,
        tenant_is_trusted,
        trusted_cost_sources,
        dead_letters,
        streamed_spans=streamed_spans,
    )
    for each in resource_spans:
        for scope_spans in each.scope_spans:
            try:
                origin = origin_of(each.resource, tenant_is_trusted=tenant_is_trusted)
                layouts = layouts_of_scope(clean_text(scope_spans.scope.name), clean_text(scope_spans.scope.version))
            except Exception as error:  # noqa: BLE001 - what is wrong with one resource or scope costs no other
                reader.refuse_scope(scope_spans, each.resource, error)
            else:
                reader.read_scope(scope_spans, each.resource, origin, layouts)
    return reader.facts()


class _Reader:
    """Collects the facts of one request."""

    __slots__ = (
        "_calls",
        "_claims_ignored_count",
        "_counts_claims",
        "_dead_letters",
        "_latest_start_unix_ns",
        "_links",
        "_look_alikes",
        "_namespace",
        "_received_at_unix_ns",
        "_streamed_spans",
        "_tenant_is_trusted",
        "_timings",
        "_trusted_cost_sources",
    )

    def __init__(
        self,
        namespace: str,
        received_at_unix_ns: int,
        tenant_is_trusted: bool,
        trusted_cost_sources: frozenset[str],
        dead_letters: Sequence[DeadLetter],
        *,
        streamed_spans: frozenset[bytes],
    ) -> None:
        self._namespace = namespace
        self._received_at_unix_ns = received_at_unix_ns
        self._latest_start_unix_ns = latest_start(received_at_unix_ns)
        self._tenant_is_trusted = tenant_is_trusted
        self._counts_claims = not tenant_is_trusted
        self._trusted_cost_sources = trusted_cost_sources
        self._streamed_spans = streamed_spans
        self._dead_letters = list(dead_letters)
        self._calls: list[Call] = []
        self._links: list[Link] = []
        self._look_alikes: list[Call] = []
        self._timings: list[Timing] = []
        self._claims_ignored_count = 0

    def facts(self) -> Facts:
        return Facts(
            namespace=self._namespace,
            received_at_unix_ns=self._received_at_unix_ns,
            calls=self._calls,
            links=self._links,
            look_alikes=self._look_alikes,
            timings=self._timings,
            dead_letters=self._dead_letters,
            tenant_is_trusted=self._tenant_is_trusted,
            ignored_count=len(self._links),
            tenant_claims_ignored_count=self._claims_ignored_count,
        )

    def refuse_scope(self, scope_spans: wire.ScopeSpans, resource: wire.Resource, error: Exception) -> None:
        for span in scope_spans.spans:
            self._refuse(span, scope_spans.scope, resource, "our_fault", type(error).__name__)

    def read_scope(
        self, scope_spans: wire.ScopeSpans, resource: wire.Resource, origin: Origin, layouts: ScopeLayouts
    ) -> None:
        scope = scope_spans.scope
        add_link, may_claim = self._links.append, self._counts_claims and origin.tenant_claim is not None
        weighs_order = bool(self._streamed_spans) and layouts.scope.rule.overcounts_streams
        names: list[str] | None = None
        layout: AttributeLayout | None = None
        for span in scope_spans.spans:
            try:
                trace_id, span_id, parent_span_id = span.trace_id, span.span_id, span.parent_span_id
                if len(trace_id) != 16 or len(span_id) != 8 or span_id == _NO_SPAN_ID or trace_id == _NO_TRACE_ID:  # noqa: PLR2004 - bytes, as OTLP defines ids
                    self._refuse(span, scope, resource, "bad_id", "trace id or span id is zero or of the wrong length")
                    continue
                is_root = len(parent_span_id) != 8 or parent_span_id == _NO_SPAN_ID  # noqa: PLR2004 - as above
                attributes = span.attributes
                # Neighbours are alike, and to see that is cheaper than to list names and look them up.
                if names is None or not _has_names(attributes, names) or weighs_order:
                    names = list(attributes)
                    is_streamed = weighs_order and span_id in self._streamed_spans
                    layout = layouts.layout_for(names, is_streamed=is_streamed)
                if layout is None and not is_root and not may_claim:
                    add_link(plain_link(trace_id, span_id, parent_span_id))
                else:
                    parent = None if is_root else parent_span_id
                    self._read_span(span, attributes, trace_id, span_id, parent, layout, origin)
            except UnreadableValue as error:
                self._refuse(span, scope, resource, error.reason, DETAILS[error.reason])
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one span, the others are read
                self._refuse(span, scope, resource, "our_fault", type(error).__name__)

    def _read_span(  # noqa: PLR0917 - called once a span, where keywords would cost
        self,
        span: wire.Span,
        attributes: wire.EncodedAttributes,
        trace_id: bytes,
        span_id: bytes,
        parent_span_id: bytes | None,
        layout: AttributeLayout | None,
        origin: Origin,
    ) -> None:
        attribution = (
            attribution_of(attributes, layout) if layout is not None and layout.attribution_places else NO_ATTRIBUTION
        )
        if self._counts_claims:
            attribution = self._without_claim(attribution, origin)
        call = None
        if layout is not None and layout.may_be_call:
            identity = identity_of(layout, attributes)
            if identity.template is not None:
                call = read_from_template(
                    span,
                    attributes,
                    trace_id,
                    span_id,
                    parent_span_id,
                    layout,
                    identity,
                    identity.template,
                    attribution,
                    origin,
                    self._latest_start_unix_ns,
                )
            if call is None:
                times = self._times(span)
                reading = Reading(
                    span, SpanAttributes(attributes), layout, identity, parent_span_id, times, attribution, origin
                )
                call = read_call(reading, self._trusted_cost_sources)
        if layout is not None and layout.timing_keys:
            self._add_timing(span, attributes, layout, call, attribution, origin)
        if call is not None and not call.is_look_alike:
            self._calls.append(call)
            return
        if call is not None:
            self._look_alikes.append(call)
        root = self._root(span, origin) if parent_span_id is None else None
        self._links.append(
            Link(trace_id=trace_id, span_id=span_id, parent_span_id=parent_span_id, attribution=attribution, root=root)
        )

    def _add_timing(  # noqa: PLR0917 - as above
        self,
        span: wire.Span,
        attributes: wire.EncodedAttributes,
        layout: AttributeLayout,
        call: Call | None,
        attribution: Attribution,
        origin: Origin,
    ) -> None:
        timing = timing_of(
            attributes,
            layout.timing_keys,
            None if call is None or call.is_look_alike else call,
            trace_id=span.trace_id,
            span_id=span.span_id,
            started_at_unix_ns=self._times(span)[0],
            tenant=attribution.tenant or origin.attribution.tenant or "",
            service_name=origin.service_name,
        )
        if timing is not None:
            self._timings.append(timing)

    def _root(self, span: wire.Span, origin: Origin) -> Root:
        started_at_unix_ns, ended_at_unix_ns, _ = self._times(span)
        return Root(
            started_at_unix_ns=started_at_unix_ns,
            ended_at_unix_ns=ended_at_unix_ns,
            has_failed=span.status.code == _ERROR,
            resource_attribution=origin.attribution,
        )

    def _times(self, span: wire.Span) -> tuple[int, int, bool]:
        return plausible_times(span.start_time_unix_nano, span.end_time_unix_nano, self._received_at_unix_ns)

    def _without_claim(self, attribution: Attribution, origin: Origin) -> Attribution:
        """Return what a span says without the tenant it claims, and count a claim that the credential denies."""
        claim = attribution.tenant or origin.tenant_claim
        if claim is not None and claim != self._namespace:
            self._claims_ignored_count += 1
        return attribution if attribution.tenant is None else without_tenant(attribution)

    def _refuse(self, span: wire.Span, scope: wire.Scope, resource: wire.Resource, reason: str, detail: str) -> None:
        self._dead_letters.append(dead_letter_of(span, scope, resource, reason=reason, detail=detail))


def _has_names(attributes: wire.EncodedAttributes, names: list[str]) -> bool:
    """Return whether attributes have these names and no others."""
    if len(attributes) != len(names):
        return False
    for name in names:  # noqa: SIM110 - a generator costs more
        if name not in attributes:
            return False
    return True
