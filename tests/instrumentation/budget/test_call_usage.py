"""The budget and the bill read one usage from a call of ours: every kind of call that an instrumentor makes."""

from decimal import Decimal

import pytest

from callfare import attributes as names
from callfare.calls.span import CallRequest, open_call
from tests.instrumentation.budget.agreement import disagreements

RECOGNISE = {"operation": "speech_to_text", "provider": "deepgram", "model": "nova-3"}
SPEAK = {"operation": "text_to_speech", "provider": "ElevenLabs", "model": "eleven_flash_v2_5"}
CHAT = {"operation": "chat", "provider": "openai", "model": "gpt-4o"}
PHONE = {"operation": "phone_call", "provider": "twilio", "model": "outbound"}
CASES: dict[str, tuple[dict, dict]] = {
    "characters": ({**SPEAK, "quantities": {names.INPUT_CHARACTERS: 14}}, {names.SERVER_ADDRESS: "api.elevenlabs.io"}),
    "credits": (SPEAK, {names.INPUT_CHARACTERS: 14, names.BILLED_QUANTITY: 7.0, names.BILLED_UNIT: "credits"}),
    "spoken seconds": (SPEAK, {names.BILLED_QUANTITY: 1.5, names.BILLED_UNIT: "minutes"}),
    "recorded": (RECOGNISE, {names.AUDIO_INPUT_SECONDS: 13.37, names.AUDIO_CHANNELS: 2, names.REQUEST_STREAM: False}),
    "streamed": (RECOGNISE, {names.AUDIO_INPUT_SECONDS: 1.1, names.REQUEST_STREAM: True}),
    "delta": (
        RECOGNISE,
        {names.AUDIO_INPUT_SECONDS: 0.1, names.SESSION_ID: "s", names.SESSION_SEQUENCE: 1, names.SESSION_SECONDS: 9.0},
    ),
    "extras": (RECOGNISE, {names.AUDIO_INPUT_SECONDS: 3.0, names.PAID_EXTRAS: "diarize,redact"}),
    "tokens": (
        CHAT,
        {
            names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 20, names.CACHE_READ_TOKENS: 60, names.REASONING_TOKENS: 5,
            names.INPUT_AUDIO_TOKENS: 10, names.OUTPUT_AUDIO_TOKENS: 4, names.RESPONSE_MODEL: "gpt-4o-2024-08-06",
        },
    ),
    "transcribed tokens": (
        {"operation": "speech_to_text", "provider": "openai", "model": "gpt-4o-transcribe"},
        {names.INPUT_TOKENS: 14, names.OUTPUT_TOKENS: 45, names.INPUT_AUDIO_TOKENS: 12, names.REQUEST_STREAM: False},
    ),
    "refused": (
        SPEAK,
        {names.INPUT_CHARACTERS: 14, names.CALL_REFUSED: True, names.HTTP_STATUS_CODE: 429, names.ERROR_TYPE: "e"},
    ),
    "phone call": (PHONE, {names.CALL_DURATION_SECONDS: 61.0, names.CALL_STATUS: "completed", names.CALL_ID: "CA1"}),
    "nobody answered": (PHONE, {names.CALL_STATUS: "no-answer", names.CALL_ID: "CA1"}),
    "billed minutes": (PHONE, {names.BILLED_QUANTITY: 2.0, names.BILLED_UNIT: "minutes", names.CALL_ID: "CA1"}),
    "read units": (
        {"operation": "retrieval", "provider": "pinecone", "model": "serverless"},
        {names.USAGE_PREFIX + "read_units": 6.0, names.BILLED_QUANTITY: 6.0, names.BILLED_UNIT: "read_units"},
    ),
    "a query": ({"operation": "retrieval", "provider": "qdrant"}, {}),
    "nothing": (CHAT, {}),
    "estimated": (SPEAK, {names.INPUT_CHARACTERS: 14, names.USAGE_SOURCE: "estimated"}),
    "reported": (
        {"operation": "text_message", "provider": "twilio", "model": "sms"},
        {names.VENDOR_COST: "0.0079", names.VENDOR_COST_CURRENCY: "USD", names.BILLED_QUANTITY: 2.0,
         names.BILLED_UNIT: "messages"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_budget_and_bill_read_the_same_usage(spans, case) -> None:
    """As the span ends, and as the service reads it."""
    request, stated = CASES[case]
    tracer = spans.provider.get_tracer("callfare.instrumentation.test")
    call = open_call(tracer, CallRequest(**request))
    call.source = stated.get(names.USAGE_SOURCE, call.source)
    for name, value in stated.items():
        call.set(name, float(value) if isinstance(value, Decimal) else value)
    call.end()
    assert disagreements(spans.all) == []


def test_a_difference_would_be_seen(spans) -> None:
    """The comparison compares: of a span that says more than we read, both usages are named."""
    call = open_call(spans.provider.get_tracer("callfare.instrumentation.test"), CallRequest(**CHAT))
    call.set("gen_ai.usage.prompt_tokens", 7)
    call.end()
    [(ours, theirs)] = disagreements(spans.all)
    assert (ours.quantities, theirs.quantities) == ({}, {"input_tokens": 7})
