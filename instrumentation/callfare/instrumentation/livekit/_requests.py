"""What LiveKit's recognisers are called: by themselves, and by their reports."""

import sys
from collections.abc import Mapping
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, CallRequest
from callfare.guard import quietly

__all__ = ["conventional", "request_of_metrics", "request_of_recogniser"]


def request_of_metrics(recogniser: Any, metrics: Any) -> CallRequest:
    """What a report is about."""
    metadata = metrics.metadata
    return CallRequest(
        operation="speech_to_text",
        provider=_provider(str(getattr(metadata, "model_provider", "") or getattr(recogniser, "provider", ""))),
        model=str(getattr(metadata, "model_name", "") or getattr(recogniser, "model", "")),
        attributes={names.REQUEST_STREAM: bool(metrics.streamed)},
    )


def request_of_recogniser(
    recogniser: Any, *, is_stream: bool = True, quantities: Mapping[str, Amount] | None = None
) -> CallRequest:
    """What a recogniser is asked for, before there is a report."""
    return CallRequest(
        operation="speech_to_text",
        provider=_provider(str(getattr(recogniser, "provider", ""))),
        model=str(getattr(recogniser, "model", "")),
        quantities=quantities or {},
        attributes={names.REQUEST_STREAM: is_stream},
        meter=names.AUDIO_INPUT_SECONDS,
    )


def _provider(name: str) -> str:
    return conventional(name.lower()) or name.lower()


@quietly
def conventional(provider: str) -> str:
    """Return the provider of a host: OpenAI's plugin and those built on it name the host that they connect to."""
    name_of = getattr(sys.modules.get("livekit.agents.telemetry.trace_types"), "gen_ai_provider_name", None)
    return str(name_of(provider)) if name_of is not None and "." in provider else provider
