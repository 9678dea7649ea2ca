"""Usage of a call, as our own instrumentors state it: request and span attributes -> `UsageRecord`.

The service reads spans of every origin; here only our own vocabulary occurs, before it is written to a span. The rule
that must never break: for these spans both come to the same usage, because the budget and the bill must agree. A test
compares the two for every kind of call.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest
from callfare.usage import ATTRIBUTE_BY_QUANTITY
from cost_exporter.domain.money import parse_decimal
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.domain.quantity import QUANTITIES, TOKEN_QUANTITIES, WHOLE_QUANTITIES, Quantity
from cost_exporter.domain.usage import UsageRecord

__all__ = ["is_billable", "usage_of"]

_QUANTITY_BY_ATTRIBUTE: Final = {attribute: quantity for quantity, attribute in ATTRIBUTE_BY_QUANTITY.items()}
_SECONDS_BY_UNIT: Final = {"second": 1, "minute": 60, "hour": 3600}
_SECONDS_QUANTITY: Final = {"speech_to_text": "audio_seconds", "text_to_speech": "output_audio_seconds"}
_NEVER_CONNECTED: Final = frozenset({"busy", "no-answer", "no_answer", "failed", "canceled", "cancelled"})


def is_billable(stated: Mapping[str, AttributeValue]) -> bool:
    """False on the span of a framework whose vendor's SDK is instrumented too: that one is counted."""
    return stated.get(names.USAGE_BILLABLE) is not False


def usage_of(
    request: CallRequest,
    stated: Mapping[str, AttributeValue | Amount],
    *,
    at_unix_ns: int,
    tenant: str = "",
    api_key: str = "",
) -> UsageRecord:
    """What a call used by what was stated of it so far: only its request, or everything its span says."""
    attributes: dict[str, AttributeValue | Amount] = {**request.attributes, **stated}
    quantities = _quantities(request.operation, attributes)
    request_model = _text(attributes, names.REQUEST_MODEL) or request.model
    mode = "stream" if names.SESSION_ID in attributes or attributes.get(names.REQUEST_STREAM) is True else ""
    if request.operation == "speech_to_text" and not mode and TOKEN_QUANTITIES.isdisjoint(quantities):
        mode = "batch"  # recorded rather than streamed; of tokens, batch is another thing
    return UsageRecord(
        provider=canonical_provider(request.provider),
        model=_text(attributes, names.RESPONSE_MODEL) or request_model,
        request_model=request_model,
        operation=request.operation,
        quantities=quantities,
        at_unix_ns=at_unix_ns,
        tenant=tenant,
        api_key=api_key,
        mode=mode,
        base_url=_text(attributes, names.SERVER_ADDRESS),
        is_refused=attributes.get(names.CALL_REFUSED) is True,
        has_failed=names.ERROR_TYPE in attributes,
        is_estimated=attributes.get(names.USAGE_SOURCE) == "estimated",
        vendor_cost_usd=_vendor_cost(attributes),
    )


def _quantities(operation: str, attributes: Mapping[str, AttributeValue | Amount]) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for name, amount in attributes.items():
        quantity = _QUANTITY_BY_ATTRIBUTE.get(name) or name.removeprefix(names.USAGE_PREFIX)
        if quantity in QUANTITIES and isinstance(amount, (int, float, Decimal)) and not isinstance(amount, bool):
            found[quantity] = _exact(quantity, amount)
    _take_the_vendors_meter(operation, attributes, found)
    if operation == "phone_call":
        _measure_phone_call(attributes, found)
    if not found and operation in {"retrieval", "moderation"}:
        found["requests"] = 1
    extras = {name for name in _text(attributes, names.PAID_EXTRAS).split(",") if name}
    if extras and found.get("audio_seconds", 1) and any(found.values()):
        found["paid_extras"] = len(extras)
    return found


def _take_the_vendors_meter(
    operation: str, attributes: Mapping[str, AttributeValue | Amount], found: dict[str, Quantity]
) -> None:
    billed, unit = attributes.get(names.BILLED_QUANTITY), _text(attributes, names.BILLED_UNIT).rstrip("s")
    if isinstance(billed, bool) or not isinstance(billed, (int, float, Decimal)) or not unit:
        return
    if unit in _SECONDS_BY_UNIT:
        if operation != "phone_call":
            quantity = _SECONDS_QUANTITY.get(operation, "session_seconds")
            found[quantity] = _exact(quantity, billed) * _SECONDS_BY_UNIT[unit]
        else:
            found.setdefault("call_seconds", _exact("call_seconds", billed) * _SECONDS_BY_UNIT[unit])
    elif (quantity := f"{unit}s") in QUANTITIES:
        found[quantity] = _exact(quantity, billed)


def _measure_phone_call(attributes: Mapping[str, AttributeValue | Amount], found: dict[str, Quantity]) -> None:
    """A phone call is one call of a number of seconds; where nobody answered it costs nothing."""
    session_seconds = found.pop("session_seconds", None)
    if session_seconds is not None:
        found.setdefault("call_seconds", session_seconds)
    if _text(attributes, names.CALL_STATUS) in _NEVER_CONNECTED:
        found.setdefault("call_seconds", 0)
        found.setdefault("calls", 0)
    if "call_seconds" in found:
        found.setdefault("calls", 1)


def _exact(quantity: str, amount: Amount) -> Quantity:
    """A number as it is written on the span: a double there is the decimal that it prints as."""
    exact = Decimal(str(amount))
    return int(exact) if quantity in WHOLE_QUANTITIES and exact == exact.to_integral_value() else exact


def _text(attributes: Mapping[str, AttributeValue | Amount], name: str) -> str:
    value = attributes.get(name)
    return value.strip() if isinstance(value, str) else ""


def _vendor_cost(attributes: Mapping[str, AttributeValue | Amount]) -> Decimal | None:
    if _text(attributes, names.VENDOR_COST_CURRENCY).upper() != "USD":
        return None
    try:
        return parse_decimal(_text(attributes, names.VENDOR_COST))
    except ValueError:
        return None
