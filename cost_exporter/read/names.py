"""Name a call's provider, models and host in one way, however they were spelt.

Who bills is told by the host a request went to, where that is known: an OpenAI SDK pointed at Groq is billed
by Groq and still calls itself openai. Models lose the provider's prefix (`openai/gpt-4o`), nothing else: dates
are the price book's business. All spans of one emitter spell alike, so the result is remembered.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from cost_exporter.domain.provider import canonical_provider, host_provider

__all__ = ["Names", "is_model", "names_of", "tier_named"]

_SERVICE: Final = re.compile(
    r"\.(?:chat|responses|completions?|messages|embeddings?|image|speech|transcription|generative-ai)$"
)
_URL: Final = re.compile(r"^[a-z][a-z0-9+.-]*://")
_HOST_LENGTH_MAX: Final = 253
_AWS_REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com$")
_UNKNOWN_MODELS: Final = frozenset({"unknown", "none", "null", "not_given"})
_STANDARD_TIERS: Final = frozenset({"default", "standard", "on_demand", "on-demand"})


class Names(NamedTuple):
    """Who was asked for what."""

    provider: str
    model: str
    """The response model, else the requested one."""
    request_model: str
    host: str
    region: str


@lru_cache(maxsize=8192)
def names_of(provider: str, response_model: str, request_model: str, address: str) -> Names:
    """Return the canonical names behind those on a span."""
    host = _host(address)
    billed_by = host_provider(host) or _provider(provider)
    requested = _model(request_model, billed_by)
    model = _model(response_model, billed_by) or requested
    if billed_by == "aws" and model in requested:
        # Claude answers with its own name; the id asked for has the region too, on which the price depends.
        model = requested
    return Names(
        provider=billed_by,
        model=model,
        request_model=requested,
        host=host,
        region=_region(host),
    )


def is_model(stated: str) -> bool:
    """Return whether a text names a model, and is no word for not knowing it."""
    return stated != "" and stated.lower() not in _UNKNOWN_MODELS


def tier_named(stated: str) -> str:
    """Return the service tier: `default` and `on_demand` are `standard`; `auto` says nothing."""
    lowered = stated.lower()
    if lowered in _STANDARD_TIERS:
        return "standard"
    return "" if lowered == "auto" else lowered


def _provider(stated: str) -> str:
    """Return the provider, cutting the service that Vercel AI adds: `openai.chat`, `google.vertex.chat`."""
    lowered = _SERVICE.sub("", stated.strip().lower())
    if lowered.startswith(("google.", "vertex")):
        return "google"
    return canonical_provider(lowered) if lowered else ""


def _model(stated: str, provider: str) -> str:
    if not is_model(stated):
        return ""
    prefix, slash, rest = stated.partition("/")
    if slash and rest and (prefix == "models" or (provider and _provider(prefix) == provider)):
        return rest
    return stated


def _host(address: str) -> str:
    """Return the host of an address or URL, without port, path and credentials."""
    lowered = _URL.sub("", address.strip().lower())
    authority = re.split(r"[/?#]", lowered, maxsplit=1)[0].rpartition("@")[2]
    return re.sub(r":\d*$", "", authority)[:_HOST_LENGTH_MAX]


def _region(host: str) -> str:
    found = _AWS_REGION.search(host)
    return found[1] if found else ""
