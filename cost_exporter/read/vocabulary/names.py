"""Return the canonical names of a call's provider, models and host.

The host that a request went to decides who bills it, if it is known: an OpenAI SDK pointed at Groq is billed by Groq
and still reports openai. Models lose the provider's prefix (`openai/gpt-4o`), nothing else: the price book handles
dates. All spans of one emitter use the same spelling, so the result is cached.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from cost_exporter.domain.provider import canonical_provider, host_provider

__all__ = ["Names", "is_model", "names_of", "tier_named"]

_SERVICE: Final = re.compile(
    r"\.(?:chat|responses|completions?|messages|embeddings?|image|speech|transcription|generative-ai)$"
)
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]")
_PORT: Final = re.compile(r":\d{1,5}/?$")
_URL: Final = re.compile(r"^[a-z][a-z0-9+.-]*://")
_HOST_LENGTH_MAX: Final = 253
_AWS_REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:amazonaws\.com|api\.aws)$")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]*):\d*:[a-z-]+/(.+)")
_BEDROCK_ID: Final = re.compile(
    r"(?:[a-z]{2,6}(?:-[a-z]+)?\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|luma|meta|mistral|openai|qwen|stability|writer|zai|moonshotai?|minimax|nvidia)"
    r"\.[a-z][\w.:-]*"
)
"""`us.anthropic.claude-sonnet-4-5-20250929-v1:0`: only Bedrock writes a vendor, a dot and a name so."""
_VENDORS_OWN: Final = frozenset({"", "anthropic", "openai", "mistral", "cohere", "meta", "deepseek"})
"""A call with one of these providers and a Bedrock model id went to Bedrock, whatever the SDK."""
_HOSTS: Final = frozenset(
    {"azure", "aws", "openrouter", "groq", "together", "fireworks", "cerebras", "deepinfra", "sambanova", "replicate"}
)
"""They serve models of others."""
_GATEWAYS: Final = frozenset(
    {"gateway", "vercel", "vercel-ai-gateway", "ai-gateway", "litellm", "litellm_proxy", "litellm-proxy", "portkey"}
    | {"helicone", "cloudflare", "cloudflare-ai-gateway", "requesty", "eden", "martian", "unify", "aisuite"}
)
"""They name the vendor in the model's prefix, and have no models of their own."""
_DOTTED_CLAUDE: Final = re.compile(r"(claude-[a-z-]*\d+)\.(\d+)")
"""`claude-sonnet-4.5`, as gateways write it; Anthropic has a dash there."""
_UNKNOWN_MODELS: Final = frozenset({"unknown", "none", "null", "not_given"})
_STANDARD_TIERS: Final = frozenset({"default", "standard", "on_demand", "on-demand"})


class Names(NamedTuple):
    """The provider, the model and the operation of a call."""

    provider: str
    model: str
    """The response model, else the requested one."""
    request_model: str
    host: str
    region: str


@lru_cache(maxsize=8192)
def names_of(provider: str, response_model: str, request_model: str, address: str) -> Names:
    """Return the canonical names behind those on a span."""
    host = _host(address) or _host_named(provider)
    asked_host = host_provider(host)
    routed, response_model, request_model = _routed(_provider(provider), response_model, request_model)
    billed_by = asked_host or _behind_gateway(routed, response_model, request_model)
    if host and host == _host(provider):
        billed_by = asked_host or host  # LiveKit's plugin of OpenAI calls a provider by host and port
    region = _region(host)
    arn = _ARN.fullmatch(request_model)
    if arn is not None:
        region, request_model = region or arn[1], arn[2]
    if billed_by in _VENDORS_OWN and (arn is not None or _BEDROCK_ID.fullmatch(request_model)) and not asked_host:
        billed_by = "aws"
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
        region=region,
    )


def _routed(provider: str, response_model: str, request_model: str) -> tuple[str, str, str]:
    """Return the host of a model by the route that LiteLLM writes before it, where its vendor is stated instead.

    `azure/gpt-4o` of "openai" is asked for at Azure. Models under their vendors' own names have no such route.
    """
    route = _provider((request_model or response_model).partition("/")[0])
    if provider not in _VENDORS_OWN or route not in _HOSTS or "/" not in (request_model or response_model):
        return provider, response_model, request_model
    return route, _without_route(response_model, route), _without_route(request_model, route)


def _without_route(model: str, route: str) -> str:
    prefix, slash, rest = model.partition("/")
    return rest if slash and _provider(prefix) == route else model


def _behind_gateway(provider: str, response_model: str, request_model: str) -> str:
    """Return the vendor behind a gateway, as the prefix of the model names it."""
    if provider not in _GATEWAYS:
        return provider
    prefix, slash, _ = (response_model if "/" in response_model else request_model).partition("/")
    return _provider(prefix) if slash else provider


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
    lowered = lowered.removesuffix("provider").rstrip("-_ ") or lowered  # the name of a class
    if lowered.startswith(("google.", "vertex")):
        return "google"
    return canonical_provider(lowered) if lowered else ""


def _model(stated: str, provider: str) -> str:
    if not is_model(stated):
        return ""
    prefix, slash, rest = stated.partition("/")
    if slash and rest and (prefix == "models" or (provider and _provider(prefix) == provider)):
        stated = rest
    if provider == "google":
        stated = stated.removesuffix("@default").removesuffix("@latest")
    return _DOTTED_CLAUDE.sub(r"\1-\2", stated) if provider == "anthropic" else stated


def _host(address: str) -> str:
    """Return the host of an address or URL, without port, path and credentials."""
    lowered = _URL.sub("", address.strip().lower())
    authority = re.split(r"[/?#]", lowered, maxsplit=1)[0].rpartition("@")[2]
    return re.sub(r":\d*$", "", authority)[:_HOST_LENGTH_MAX]


def _host_named(provider: str) -> str:
    """Return the host by which a provider is named; "" where it has a name."""
    host = _host(provider)
    is_host = host == "localhost" or _ADDRESS.fullmatch(host) or host_provider(host) or _PORT.search(provider)
    return host if is_host or ("." in host and _provider(provider) == host) else ""


def _region(host: str) -> str:
    found = _AWS_REGION.search(host)
    return found[1] if found else ""
