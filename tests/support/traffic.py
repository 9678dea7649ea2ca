"""Random traffic of voice agents, and what it must cost: counted here, call by call, by nothing of callfare's own.

The prices are those of a price file of the test's, the sums twenty lines of `Decimal`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as D
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import otlp

__all__ = ["PRICE_FILE", "Call", "Traffic", "random_traffic"]

RATES = {
    ("openai", "house-chat-1", "input_tokens"): (D("0.15"), 1_000_000),
    ("openai", "house-chat-1", "output_tokens"): (D("0.60"), 1_000_000),
    ("anthropic", "house-chat-2", "input_tokens"): (D(3), 1_000_000),
    ("anthropic", "house-chat-2", "output_tokens"): (D(15), 1_000_000),
    ("elevenlabs", "house-voice", "characters"): (D("0.05"), 1_000),
    ("deepgram", "house-ears", "audio_seconds"): (D("0.0048"), 60),
    ("twilio", "house-line", "call_seconds"): (D("0.0085"), 60),
}
MODELS = {
    "house-chat-1": "chat",
    "house-chat-2": "chat",
    "house-voice": "text_to_speech",
    "house-ears": "speech_to_text",
}
MODELS["house-line"] = "phone_call"
ATTRIBUTES = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "characters": "gen_ai.usage.input_characters",
    "audio_seconds": "gen_ai.usage.audio.input_seconds",
    "call_seconds": "gen_ai.usage.session_seconds",
}
PRICE_FILE = "prices:\n" + "".join(
    f'  - {{provider: {provider}, model: {model}, unit: {unit}, price: "{price}", per: "{per}",'
    " valid_from: 2020-01-01T00:00:00Z}\n"
    for (provider, model, unit), (price, per) in RATES.items()
)
UNKNOWN_MODEL = "nobody-knows-me"


@dataclass
class Call:
    """One provider call, as the vendor's own counter has it."""

    tenant: str
    category: str
    user: str
    api_key: str
    provider: str
    model: str
    trace_id: str
    day: str
    quantities: dict[str, D]

    @property
    def cost_usd(self) -> D | None:
        """The sum of its lines, each rounded once; None for a model without a price."""
        if self.model == UNKNOWN_MODEL:
            return None
        return sum((self._line_usd(unit, number) for unit, number in self.quantities.items()), D(0))

    def _line_usd(self, unit: str, number: D) -> D:
        price, per = RATES[self.provider, self.model, unit]
        return (price * number / per).quantize(D("1e-12"), rounding=ROUND_HALF_EVEN)


@dataclass
class Traffic:
    """The requests to send, and the calls in them."""

    requests: list[bytes] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def total_usd(self, **only: str) -> D:
        """The known cost of all calls, or of those for which this holds."""
        chosen = [call for call in self.calls if all(getattr(call, name) == text for name, text in only.items())]
        return sum((call.cost_usd or D(0) for call in chosen), D(0))


def random_traffic(seed: int, *, workflows: int, days: int, tenants: int = 4, now: datetime | None = None) -> Traffic:
    """Return workflows of the last days: a phone call with speech and language models each, now and then one odd."""
    chance, traffic, now = random.Random(seed), Traffic(), now or datetime.now(UTC)
    request = ExportTraceServiceRequest()
    for _ in range(workflows):
        started_at = now - timedelta(seconds=chance.uniform(120, days * 86_400))
        _add_workflow(request, traffic, chance, started_at, f"tenant-{chance.randrange(tenants)}")
        if len(traffic.calls) > 400 * (1 + len(traffic.requests)):
            traffic.requests.append(request.SerializeToString())
            request = ExportTraceServiceRequest()
    traffic.requests.append(request.SerializeToString())
    return traffic


def _add_workflow(
    request: ExportTraceServiceRequest, traffic: Traffic, chance: random.Random, started_at: datetime, tenant: str
) -> None:
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "house.agent"
    trace_id = chance.getrandbits(128).to_bytes(16, "big")
    user, api_key = f"user-{chance.randrange(20)}", f"key-{chance.randrange(6)}"
    name = chance.choice(["support-call", "booking", "lead-qualification"])
    owner = {"callfare.tenant.id": tenant, "callfare.user.id": user, "callfare.api_key.id": api_key}
    seconds = chance.randrange(20, 400)
    root = {**owner, "callfare.workflow.name": name, "callfare.category": "bot"}
    if chance.random() < 0.7:
        root["callfare.revenue.amount"] = "1.25"
    _add_span(scope, (trace_id, 1, 0), name, (started_at, seconds), root)
    for index, (provider, model, quantities) in enumerate(_calls(chance, seconds), start=2):
        category = "bot" if index % 5 else "insights"
        at = started_at + timedelta(seconds=0 if model == "house-line" else chance.uniform(0, seconds * 0.9))
        took = seconds if model == "house-line" else chance.uniform(0.2, min(8, seconds * 0.1))
        attributes: dict[str, Any] = {**owner, "callfare.category": category, "gen_ai.provider.name": provider}
        attributes |= {"gen_ai.operation.name": MODELS.get(model, "chat"), "gen_ai.request.model": model}
        attributes |= {"gen_ai.response.model": model} | {
            ATTRIBUTES[unit]: number for unit, number in quantities.items()
        }
        _add_span(scope, (trace_id, index, 1), f"{attributes['gen_ai.operation.name']} {model}", (at, took), attributes)
        day = at.date().isoformat()
        traffic.calls.append(Call(tenant, category, user, api_key, provider, model, trace_id.hex(), day, quantities))


def _calls(chance: random.Random, seconds: int) -> Iterator[tuple[str, str, dict[str, D]]]:
    yield "twilio", "house-line", {"call_seconds": D(seconds)}
    for _ in range(chance.randrange(1, 4)):
        yield "deepgram", "house-ears", {"audio_seconds": D(chance.randrange(10, 4_000)) / 8}
    for _ in range(chance.randrange(2, 7)):
        provider, model = chance.choice([("openai", "house-chat-1"), ("anthropic", "house-chat-2")])
        tokens = {"input_tokens": D(chance.randrange(50, 9_000)), "output_tokens": D(chance.randrange(5, 900))}
        yield provider, model, tokens
        yield "elevenlabs", "house-voice", {"characters": D(chance.randrange(10, 600))}
    if chance.random() < 0.06:
        yield "openai", UNKNOWN_MODEL, {"input_tokens": D(77), "output_tokens": D(7)}


def _add_span(
    scope: Any, ids: tuple[bytes, int, int], name: str, when: tuple[datetime, float], attributes: dict[str, Any]
) -> None:
    (trace_id, span, parent), (at, seconds) = ids, when
    first = int.from_bytes(trace_id[:6], "big") * 100
    added = otlp.span(
        trace_id,
        first + span,
        parent=first + parent if parent else 0,
        name=name,
        started_at_unix_ns=int(at.timestamp() * 1_000_000) * 1_000,
        duration_ns=int(seconds * 1e9),
        attributes={key: _stated(key, content) for key, content in attributes.items()},
    )
    scope.spans.append(added)


def _stated(key: str, content: Any) -> Any:
    """Return counts as whole numbers and seconds as doubles, as instrumentations state them."""
    if isinstance(content, D) and content == content.to_integral_value() and not key.endswith("seconds"):
        return int(content)
    return content if isinstance(content, D) else str(content)
