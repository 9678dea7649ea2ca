"""Incoming requests: whether the caller may set their attribution.

Any client can send a `baggage` header, and an OpenTelemetry server instrumentation reads it. Between one's own services
that is how a workflow is passed on; from the internet it would let a caller charge its calls to another tenant. With
CALLFARE_TRUST_BAGGAGE=0 our names are removed as the headers are read. The other names, and what this process itself
sends, stay as they are.
"""

from opentelemetry import baggage, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from callfare.account import ATTRIBUTION

__all__ = ["DistrustingPropagator", "distrust_incoming_baggage"]


class DistrustingPropagator(TextMapPropagator):
    """Another propagator, except that nobody outside states an account."""

    def __init__(self, inner: TextMapPropagator) -> None:
        """Wrap the propagator in force."""
        self._inner = inner

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """The context of the headers, but with our own names as they were before."""
        own = baggage.get_all(context)
        result = self._inner.extract(carrier, context, getter)
        for name in ATTRIBUTION:
            if name in own:
                result = baggage.set_baggage(name, own[name], result)
            elif baggage.get_baggage(name, result) is not None:
                result = baggage.remove_baggage(name, result)
        return result

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """As before."""
        self._inner.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """As before."""
        return self._inner.fields


def distrust_incoming_baggage() -> None:
    """Put it in force, once."""
    known = propagate.get_global_textmap()
    if not isinstance(known, DistrustingPropagator):
        propagate.set_global_textmap(DistrustingPropagator(known))
