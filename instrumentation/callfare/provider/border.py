"""Where requests come in from outside: whether the caller may say on whose account they go.

Anybody can send a `baggage` header, and an OpenTelemetry server instrumentation takes it. Between services of one's
own that is how a workflow travels; from the internet it is a way to put one's calls on somebody else's bill. With
CALLFARE_TRUST_BAGGAGE=0 our names are taken out as the headers are read. Everything else in them, and what this process
itself sends on, stays as it is.
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
        """What the headers say, with the names of ours as they were before."""
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
