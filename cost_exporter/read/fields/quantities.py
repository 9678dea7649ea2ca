"""Normalise the quantities of a call: totals inclusive, zeros that mean nothing gone, the vendor's meter in.

Every number that is left either is a count or measure, or is impossible and named in an issue, so that pricing
answers `invalid`. Parts that are zero are left out: `cache_read_tokens: 0` says no more than its absence, and
two emitters of one call must not differ by it.
"""

from decimal import Decimal
from typing import Final

from cost_exporter.domain.provider import STORES_CACHE_APART
from cost_exporter.domain.quantity import MAX_QUANTITY, TOKEN_QUANTITIES, WHOLE_QUANTITIES, Quantity
from cost_exporter.read.fields.reading import Keys, Reading
from cost_exporter.read.fields.totals import make_inclusive, stated_total
from cost_exporter.read.otlp.values import NOT_A_NUMBER, number_of

__all__ = ["PARTS", "TOTALS", "read_quantities", "repair_quantities", "total_cache_writes"]

TOTALS: Final = frozenset({"input_tokens", "output_tokens"})
PARTS: Final = TOKEN_QUANTITIES - TOTALS
_NEVER_CONNECTED: Final = frozenset({"busy", "no-answer", "no_answer", "failed", "canceled", "cancelled"})
_SECONDS_BY_UNIT: Final = {"second": 1, "minute": 60, "hour": 3600}
_SECONDS_QUANTITY: Final = {
    "phone_call": "call_seconds",
    "speech_to_text": "audio_seconds",
    "text_to_speech": "output_audio_seconds",
}
_CREDITS_PER_CHARACTER: Final = (1, Decimal("0.5"))
"""ElevenLabs' multilingual and fast models. Whether its header rounds a half is not known: one credit is slack."""
_QUANTITY_BY_UNIT: Final = {
    "credit": "credits",
    "character": "characters",
    "read_unit": "read_units",
    "write_unit": "write_units",
    "rerank_unit": "rerank_units",
    "request": "requests",
    "message": "messages",
    "image": "images",
    "page": "pages",
    "vector": "vectors",
    "web_search": "web_searches",
}
_REQUEST_IS_THE_METER: Final = frozenset({"retrieval", "moderation"})


def read_quantities(reading: Reading) -> bool:
    """Read what the alias table finds; return whether all of it is plain: some counts, all from 1 up."""
    quantities, attributes = reading.quantities, reading.attributes
    are_plain = bool(reading.layout.quantities)
    for quantity, key, keys, is_measured in reading.layout.quantities:
        number: Quantity | None = attributes[key].int_value
        if not 0 < number <= MAX_QUANTITY:
            are_plain = False
            number = reading.first_number(keys) if is_measured else reading.first_count(keys)
            if number is None:
                continue
        if number or quantity not in PARTS:
            quantities[quantity] = number
        if len(keys) > 1:
            _compare_names(reading, quantity, number, keys)
    return are_plain


def _compare_names(reading: Reading, quantity: str, number: Quantity, keys: Keys) -> None:
    """Name another attribute of the same quantity that states another number: one of them is not what was used."""
    for key in keys:
        other = number_of(reading.attributes[key])
        if other is not None and other not in {0, number}:
            reading.issues.append(f"conflicting_usage: {key} = {other}, {quantity} = {number}")
            reading.has_unread_usage = True
            reading.is_incomplete = reading.is_incomplete or (other > number and quantity not in PARTS)


def repair_quantities(reading: Reading, *, are_plain: bool) -> None:
    """Make the quantities mean what the conventions mean."""
    quantities, layout = reading.quantities, reading.layout
    if layout.weighs_totals:
        total_cache_writes(quantities)
        make_inclusive(reading, reading.identity.names)
    elif reading.usage_objects and _shows_more(reading):
        make_inclusive(reading, reading.identity.names)
    _part_overlapping_cache(reading)
    if are_plain and layout.is_plain:
        return
    if layout.numbers:
        _take_the_vendors_meter(reading)
    if reading.operation == "phone_call":
        _measure_phone_call(reading)
    if not quantities.get("input_tokens") and not quantities.get("output_tokens"):
        _drop_zeros_for_unknown(reading)
    if not quantities and reading.operation in _REQUEST_IS_THE_METER:
        quantities["requests"] = 1
    if "paid_extras" in layout.texts:
        _count_paid_extras(reading)
    if reading.issues:
        _keep_the_unreadable(reading)
    _name_the_impossible(reading)


def _shows_more(reading: Reading) -> bool:
    """Return whether usage objects show that the totals lack something."""
    of = reading.quantities.get
    if reading.has_input_cached is False or reading.has_output_thoughts is False:
        return True
    return (
        of("reasoning_tokens", 0) > of("output_tokens", 0)
        or of("cache_read_tokens", 0) + of("cache_write_tokens", 0) > of("input_tokens", 0)
        or stated_total(reading) > of("input_tokens", 0) + of("output_tokens", 0)
    )


def _take_the_vendors_meter(reading: Reading) -> None:
    """Take `billed_quantity`, which is what the vendor bills by; of a phone call the length says more."""
    billed = reading.first_number(reading.layout.numbers.get("billed_quantity", ()))
    unit = reading.first_text(reading.layout.texts.get("billed_unit", ())).lower().rstrip("s")
    if billed is None or not unit:
        return
    if unit in _SECONDS_BY_UNIT:
        quantity = _SECONDS_QUANTITY.get(reading.operation, "session_seconds")
        if quantity != "call_seconds" or quantity not in reading.quantities:
            reading.quantities[quantity] = billed * _SECONDS_BY_UNIT[unit]
    elif unit in _QUANTITY_BY_UNIT:
        quantity = _QUANTITY_BY_UNIT[unit]
        reading.quantities[quantity] = int(billed) if quantity in WHOLE_QUANTITIES and billed == int(billed) else billed
        if quantity == "credits":
            _compare_credits(reading, billed)
    else:
        reading.issues.append("unknown_billed_unit")


def _compare_credits(reading: Reading, credits_: Quantity) -> None:
    """Say where a character cost neither one credit nor half of one: a voice may have a rate of its own.

    Speech is priced by its characters, so such a voice's price is wrong until a row of the operator's says it.
    """
    characters = reading.quantities.get("characters")
    if characters and all(abs(credits_ - characters * rate) >= 1 for rate in _CREDITS_PER_CHARACTER):
        reading.issues.append(f"credits_per_character: {round(credits_ / Decimal(characters), 2).normalize():f}")


def _measure_phone_call(reading: Reading) -> None:
    """Set the quantities of a phone call: one call and its seconds; none while its length is unknown."""
    quantities = reading.quantities
    session_seconds = quantities.pop("session_seconds", None)
    if session_seconds is not None:
        quantities.setdefault("call_seconds", session_seconds)
    if reading.first_text(reading.layout.texts.get("phone_call_status", ())).lower() in _NEVER_CONNECTED:
        quantities.setdefault("call_seconds", 0)
        quantities.setdefault("calls", 0)  # nobody answered: no minimum and no connection fee
    if "call_seconds" in quantities:
        quantities.setdefault("calls", 1)


def total_cache_writes(quantities: dict[str, Quantity]) -> None:
    """Add the total of the cache writes if only its parts are reported."""
    parts = quantities.get("cache_write_5m_tokens", 0) + quantities.get("cache_write_1h_tokens", 0)
    if parts and "cache_write_tokens" not in quantities:
        quantities["cache_write_tokens"] = parts


def _part_overlapping_cache(reading: Reading) -> None:
    """Take out writes that are among the tokens read: then both are in the input, but not beside one another.

    Where storage is billed apart, as OpenRouter bills Gemini's, both are billed and both stay.
    """
    quantities = reading.quantities
    if reading.identity.names.provider in STORES_CACHE_APART:
        return
    stated, written = quantities.get("input_tokens", 0), quantities.get("cache_write_tokens", 0)
    cached = quantities.get("cache_read_tokens", 0)
    if cached + written > stated >= max(cached, written) and cached and written:
        for part in ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"):
            quantities.pop(part, None)
        reading.issues.append(f"overlapping_cache: cache_write_tokens = {written} are among those read")
        reading.has_unread_usage = reading.is_incomplete = True


def _drop_zeros_for_unknown(reading: Reading) -> None:
    """A call that used neither input nor output: the emitter did not know (LiteLLM writes 0 for a stream)."""
    quantities = reading.quantities
    if TOTALS.isdisjoint(quantities):
        return
    if any(number for number in quantities.values()):
        for name in TOTALS:
            if quantities.get(name) == 0 and not PARTS.intersection(quantities):
                del quantities[name]
        return
    quantities.clear()
    reading.issues.append("zero_usage")


def _count_paid_extras(reading: Reading) -> None:
    """Name and count what the vendor charges on top: without a price for it, the rest is only the known part.

    Of audio that was nothing it costs nothing, and beside an unknown use it would hide that this is unknown.
    """
    quantities = reading.quantities
    listed = reading.first_text(reading.layout.texts["paid_extras"]).split(",")
    extras = sorted({name for name in listed if name.isidentifier() and name.islower() and name.isascii()})
    if extras and quantities.get("audio_seconds", 1) and any(quantities.values()):
        quantities["paid_extras"] = len(extras)
        reading.issues.append(f"paid_extras: {', '.join(extras)}")


def _keep_the_unreadable(reading: Reading) -> None:
    """A stated value that is not a number is not 0: without it the rest would be priced, and wrongly."""
    for quantity, _, keys, _ in reading.layout.quantities:
        is_unreadable = any(f"unreadable:{key}" in reading.issues for key in keys)
        if is_unreadable and quantity not in reading.quantities and quantity != "reasoning_tokens":
            reading.quantities[quantity] = NOT_A_NUMBER


def _name_the_impossible(reading: Reading) -> None:
    for quantity, number in reading.quantities.items():
        if not 0 <= number <= MAX_QUANTITY or (isinstance(number, Decimal) and quantity in WHOLE_QUANTITIES):
            reading.issues.append(f"impossible_count:{quantity}")
