"""Which names of a call may be priced, in which order, and how each fallback marks the figure.

The response model is what was billed. Where it has no price, the model without its route (OpenRouter), then the
requested model are the best estimate, unless the requested model was free and another one answered.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from cost_exporter.domain.pricing.rate_card import BookCandidates
from cost_exporter.domain.pricing.rows import LIST
from cost_exporter.domain.usage import UsageRecord

__all__ = ["elsewhere", "names_to_try", "uncounted"]

_FREE: Final = ":free"
_PROFILE: Final = re.compile(r"(eu|apac|us-gov|jp|au|ca|in|il|me|sa|af|mx)\.")
_ONLINE: Final = "online"
_ROUTES: Final = {
    "openrouter": {
        **dict.fromkeys(("nitro", "floor", "exacto"), "only chooses who serves the model"),
        **dict.fromkeys(("thinking", "extended", "beta"), "is not listed by itself"),
        _ONLINE: "adds web searches, which are billed apart",
    }
}
"""What a suffix of a model's name does at a gateway, where the price of the model alone is the best estimate."""


def names_to_try(provider: str, model: str, request_model: str) -> Iterator[tuple[str, str]]:
    """Yield each name, and the issue that goes with a price found by it: "" for the model's own name."""
    model, request_model = model.strip(), request_model.strip()
    if model:
        yield model, ""
        yield from _without_route(provider, model)
    if not request_model or request_model == model:
        return
    is_free = request_model.lower().endswith(_FREE)
    if is_free and model:
        return  # who answered was another model than the free one that was asked for
    reason = f"request_model: {model} has no price, {request_model} was asked for"
    yield request_model, reason
    for name, route in _without_route(provider, request_model):
        yield name, f"{reason}; {route}"


def uncounted(usage: UsageRecord, provider: str, name: str) -> str:
    """Return the issue of a route that adds what nobody counted, where the price is that of the name without it."""
    suffix = f":{_ONLINE}"
    asked = f"{usage.model} {usage.request_model} ".lower()
    is_added = _ONLINE in _ROUTES.get(provider, {}) and f"{suffix} " in asked and not name.lower().endswith(suffix)
    is_unknown = is_added and "web_searches" not in usage.quantities
    return f"not_stated: web_searches, which {suffix} adds" if is_unknown else ""


def elsewhere(provider: str, model: str, levels: Sequence[BookCandidates]) -> str:
    """Return the issue of a Bedrock profile outside the United States that only has the price of the model at home."""
    profile = _PROFILE.match(model.lower().rpartition("/")[2]) if provider == "aws" else None
    if profile is None:
        return ""
    region = profile[1]
    for level in levels:
        for candidate in level.candidates:
            priced = candidate.row.model
            if level.book != LIST or priced.startswith(("regional.", f"{region}.", f"{region}[.]")):
                return ""
    return f"region: no price for the profile {region}., at that of the model at home"


def _without_route(provider: str, model: str) -> Iterator[tuple[str, str]]:
    name, found, suffix = model.rpartition(":")
    does = _ROUTES.get(provider, {}).get(suffix.lower(), "")
    if found and does:
        yield name, f"route: at the price of {name}; :{suffix.lower()} {does}"
