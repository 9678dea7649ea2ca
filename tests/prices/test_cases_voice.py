"""Speech, telephony, agents, vector stores and payment fees, from the curated files."""

from decimal import Decimal as D

import pytest

from tests.prices.cases import HOUR, Case, M, check

MINUTE = D(60)
THOUSAND = D(1_000)

# provider, model, price for 1,000 characters, source
SPEECH = [
    ("elevenlabs", "eleven_multilingual_v2", "0.10", "elevenlabs.io/pricing/api"),
    ("elevenlabs", "eleven_v3", "0.10", "elevenlabs.io/pricing/api"),
    ("elevenlabs", "eleven_flash_v2_5", "0.05", "elevenlabs.io/pricing/api"),
    ("ElevenLabs", "eleven_turbo_v2_5", "0.05", "elevenlabs.io/pricing/api"),
    ("elevenlabshttp", "eleven_flash_v2", "0.05", "elevenlabs.io/pricing/api"),
    ("openai", "tts-1", "0.015", "platform.openai.com/docs/pricing"),
    ("openai", "tts-1-hd", "0.030", "platform.openai.com/docs/pricing"),
    ("openai", "tts-1-1106", "0.015", "platform.openai.com/docs/pricing"),
    ("deepgram", "aura-asteria-en", "0.015", "deepgram.com/pricing"),
    ("deepgram", "aura-2-thalia-en", "0.030", "deepgram.com/pricing"),
    ("cartesia", "sonic-3", "0.05", "docs.cartesia.ai/pricing"),
    ("azure", "en-US-Ava:DragonHDLatestNeural", "0.030", "azure.microsoft.com/pricing/details/cognitive-services"),
    ("azure", "sr-Latn-RS-SophieNeural", "0.015", "azure.microsoft.com/pricing/details/cognitive-services"),
    ("google", "en-US-Neural2-A", "0.016", "cloud.google.com/text-to-speech/pricing"),
    ("google", "en-US-Chirp3-HD-Charon", "0.030", "cloud.google.com/text-to-speech/pricing"),
    ("google", "en-US-Studio-O", "0.160", "cloud.google.com/text-to-speech/pricing"),
    ("google", "en-US-Standard-A", "0.004", "cloud.google.com/text-to-speech/pricing"),
    ("azure", "en-US-JennyNeural", "0.015", "azure speech pricing"),
    ("aws", "polly-neural", "0.016", "aws.amazon.com/polly/pricing"),
    ("aws", "polly-generative", "0.030", "aws.amazon.com/polly/pricing"),
    ("groq", "canopylabs/orpheus-v1-english", "0.022", "groq.com/pricing"),
]


@pytest.mark.parametrize(("provider", "model", "price", "source"), SPEECH)
def test_speech_by_characters(provider: str, model: str, price: str, source: str) -> None:
    """Characters are the meter; the length of the audio is known too and not billed a second time."""
    usage = {"characters": 47, "output_audio_seconds": D("3.2")}
    lines = {"characters": D(price) * 47 / THOUSAND}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))


# provider, model, mode, price, for so many seconds, source
RECOGNITION = [
    ("deepgram", "nova-2", "", "0.0043", MINUTE, "deepgram.com/pricing"),
    ("deepgram", "nova-2-phonecall", "batch", "0.0043", MINUTE, "deepgram.com/pricing"),
    ("deepgram", "nova-2", "stream", "0.0058", MINUTE, "deepgram.com/pricing"),
    ("deepgram", "nova-3", "stream", "0.0048", MINUTE, "deepgram.com/pricing"),
    ("deepgram", "nova-3-multilingual", "stream", "0.0058", MINUTE, "deepgram.com/pricing"),
    ("deepgram", "nova-3", "batch", "0.0043", MINUTE, "deepgram.com/pricing; sources disagree"),
    ("deepgram", "flux-general-en", "stream", "0.0065", MINUTE, "deepgram.com/pricing"),
    ("elevenlabs", "scribe_v1", "", "0.22", HOUR, "elevenlabs.io/pricing/api"),
    ("elevenlabs", "scribe_v2_realtime", "stream", "0.39", HOUR, "elevenlabs.io/pricing/api"),
    ("assemblyai", "universal-2", "", "0.15", HOUR, "assemblyai.com/pricing"),
    ("assemblyai", "universal-3-pro", "batch", "0.21", HOUR, "assemblyai.com/pricing"),
    ("assemblyai", "universal-3-5-pro", "batch", "0.21", HOUR, "assemblyai.com/pricing"),
    ("assemblyai", "best", "", "0.37", HOUR, "assemblyai.com/pricing"),
    ("assemblyai", "nano", "", "0.12", HOUR, "assemblyai.com/pricing"),
    ("openai", "whisper-1", "", "0.006", MINUTE, "platform.openai.com/docs/pricing"),
    ("openai", "gpt-transcribe", "", "0.27", HOUR, "platform.openai.com/docs/pricing"),
    ("openai", "gpt-realtime-whisper", "stream", "1.02", HOUR, "platform.openai.com/docs/pricing"),
    ("cartesia", "ink-whisper", "stream", "0.003", MINUTE, "docs.cartesia.ai/pricing: a credit a second"),
    ("azure", "speech-to-text", "stream", "1.00", HOUR, "azure speech pricing"),
    ("azure", "speech-to-text", "batch", "0.18", HOUR, "azure speech pricing"),
    ("azure", "whisper", "", "0.36", HOUR, "azure openai pricing"),
    ("mistral", "voxtral-mini-2602", "", "0.18", HOUR, "mistral.ai/pricing"),
    ("soniox", "stt-rt-v4", "stream", "0.12", HOUR, "soniox.com/pricing"),
]


@pytest.mark.parametrize(("provider", "model", "mode", "price", "per", "source"), RECOGNITION)
def test_recognition_by_audio_time(*, provider: str, model: str, mode: str, price: str, per: D, source: str) -> None:
    """Audio time is the meter, to the fraction of a second; the open socket is not billed as well."""
    usage = {"audio_seconds": D("8.4"), "session_seconds": D("9.1")}
    lines = {"audio_seconds": D(price) * D("8.4") / per}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, given={"mode": mode}, source=source))


@pytest.mark.parametrize("model", ["u3-rt-pro", "u3-pro", "universal-3-5-pro", "universal-3-6-pro"])
def test_streams_of_one_model_cost_alike_by_any_of_its_names(model: str) -> None:
    """AssemblyAI bills the open socket; the name in the address may be that of the recorded model."""
    lines = {"session_seconds": D("0.45") * D("9.1") / HOUR}
    usage = {"session_seconds": D("9.1"), "channels": 1}
    given = {"mode": "stream"}
    check(
        Case(provider="assemblyai", model=model, usage=usage, lines=lines, given=given, source="assemblyai.com/pricing")
    )


CASES = [
    Case(  # multichannel: each channel is billed
        provider="deepgram",
        model="nova-3",
        usage={"audio_seconds": 60, "channels": 2},
        given={"mode": "stream"},
        lines={"audio_seconds": D("0.0048") * 60 * 2 / 60},
        source="deepgram.com/pricing, discussion 932",
    ),
    Case(  # "each channel is billed independently at the full audio duration"
        provider="elevenlabs",
        model="scribe_v2",
        usage={"audio_seconds": D("5.5"), "channels": 2},
        given={"mode": "batch"},
        lines={"audio_seconds": D("0.22") * D("5.5") * 2 / HOUR},
        source="elevenlabs 2.78.0, use_multi_channel",
    ),
    Case(  # 15 credits a second of what goes in, at 50 dollars a million credits
        provider="cartesia",
        model="voice-changer",
        usage={"audio_seconds": D("2.5")},
        lines={"audio_seconds": D(50) * 15 * D("2.5") / M},
        source="docs.cartesia.ai/pricing",
    ),
    Case(  # an hour and a bit that is no finite decimal per second
        provider="groq",
        model="whisper-large-v3",
        usage={"audio_seconds": D("61.5")},
        lines={"audio_seconds": D("0.111") * D("61.5") / HOUR},
        source="groq.com/pricing",
    ),
    Case(  # ten seconds at least for a request
        provider="groq",
        model="whisper-large-v3",
        usage={"audio_seconds": 3},
        lines={"audio_seconds": D("0.111") * 10 / HOUR},
        source="groq.com/pricing: minimum 10 s",
    ),
    Case(
        provider="groq",
        model="whisper-large-v3-turbo",
        usage={"audio_seconds": 0},
        lines={"audio_seconds": D(0)},
        source="groq.com/pricing",
    ),
    Case(  # 1 s steps, 15 s at least
        provider="aws",
        model="transcribe",
        usage={"audio_seconds": D("3.2")},
        lines={"audio_seconds": D("0.01") * 15 / 60},
        source="aws.amazon.com/transcribe/pricing",
        issue="assumed_mode",
    ),
    Case(
        provider="aws",
        model="transcribe",
        usage={"audio_seconds": D("62.3")},
        given={"mode": "batch"},
        lines={"audio_seconds": D("0.006") * 63 / 60},
        source="aws.amazon.com/transcribe/pricing",
    ),
    Case(
        provider="google",
        model="chirp_2",
        usage={"audio_seconds": D("8.4"), "channels": 2},
        lines={"audio_seconds": D("0.016") * 9 * 2 / 60},
        source="cloud.google.com/speech-to-text/pricing",
    ),
    Case(
        provider="google",
        model="chirp_3",
        usage={"audio_seconds": 600},
        given={"mode": "batch"},
        lines={"audio_seconds": D("0.004") * 600 / 60},
        source="cloud.google.com/speech-to-text/pricing: dynamic batch",
    ),
    Case(  # streams at AssemblyAI: the open socket is the meter, silence included
        provider="assemblyai",
        model="universal-streaming",
        usage={"audio_seconds": D(40), "session_seconds": D("75.5")},
        lines={"session_seconds": D("0.15") * D("75.5") / HOUR},
        source="assemblyai.com/pricing",
    ),
    Case(  # the whole agent is billed by the connection
        provider="deepgram",
        model="voice-agent",
        usage={"session_seconds": D(90), "channels": 1},
        given={"operation": "voice_agent"},
        lines={"session_seconds": D("4.50") * 90 / HOUR},
        source="deepgram.com/learn/voice-agent-api-generally-available",
        issue="assumed_models",
    ),
    Case(  # no audio length, and the socket is not what Deepgram bills
        provider="deepgram",
        model="nova-2",
        usage={"session_seconds": D("75.5")},
        lines={},
        status="no_usage",
        source="-",
    ),
    Case(
        provider="openai",
        model="gpt-4o-transcribe",
        usage={"input_tokens": 120, "input_audio_tokens": 100, "output_tokens": 40, "audio_seconds": 10},
        lines={
            "input_tokens": D("2.5") * 20 / M,
            "input_audio_tokens": D(6) * 100 / M,
            "output_tokens": D(10) * 40 / M,
        },
        source="platform.openai.com/docs/pricing; others say 2.5 for audio",
    ),
    Case(  # billed by tokens: seconds alone are priced by the vendor's own estimate, and say so
        provider="openai",
        model="gpt-4o-transcribe",
        usage={"audio_seconds": 90},
        lines={"audio_seconds": D("0.006") * 90 / MINUTE},
        status="estimated",
        source="platform.openai.com/docs/pricing",
        issue="assumed_meter",
    ),
    Case(
        provider="openai",
        model="gpt-4o-mini-transcribe",
        usage={"audio_seconds": 90},
        given={"mode": "batch"},
        lines={"audio_seconds": D("0.003") * 90 / MINUTE},
        status="estimated",
        source="platform.openai.com/docs/pricing",
        issue="assumed_meter",
    ),
    Case(  # tokens for a model that is billed by characters
        provider="openai",
        model="tts-1",
        usage={"input_tokens": 10},
        lines={"input_tokens": None},
        status="unpriced",
        source="-",
    ),
    Case(
        provider="openai",
        model="gpt-4o-mini-tts",
        usage={"input_tokens": 30, "output_tokens": 500, "output_audio_tokens": 500, "characters": 120},
        lines={
            "input_tokens": D("0.6") * 30 / M,
            "output_tokens": D(0),
            "output_audio_tokens": D(12) * 500 / M,
        },
        source="platform.openai.com/docs/pricing",
    ),
    Case(  # the default reply reports no tokens: the vendor's own estimate by length
        provider="openai",
        model="gpt-4o-mini-tts",
        usage={"characters": 120, "output_audio_seconds": D("7.5")},
        lines={"output_audio_seconds": D("0.015") * D("7.5") / 60},
        status="estimated",
        source="platform.openai.com/docs/pricing",
        issue="assumed_meter",
    ),
    Case(  # characters decide, though credits are known
        provider="elevenlabs",
        model="eleven_flash_v2_5",
        usage={"characters": 36, "credits": 18},
        lines={"characters": D("0.05") * 36 / 1_000},
        source="elevenlabs.io/pricing/api",
        issue="assumed_plan: pay-as-you-go",
    ),
    Case(
        provider="elevenlabs",
        model="eleven_multilingual_v2",
        usage={"credits": 36},
        lines={"credits": D("0.10") * 36 / 1_000},
        source="elevenlabs.io/pricing/api",
    ),
    Case(
        provider="elevenlabs",
        model="eleven_multilingual_v2",
        usage={"characters": 1_000},
        given={"plan": "scale"},
        lines={"characters": D("0.18")},
        source="elevenlabs.io/pricing, overage",
    ),
    Case(
        provider="elevenlabs",
        model="eleven_flash_v2_5",
        usage={"characters": 1_000},
        given={"plan": "Business"},
        lines={"characters": D("0.06")},
        source="elevenlabs.io/pricing, overage, half a credit a character",
    ),
    Case(  # a plan nobody lists
        provider="elevenlabs",
        model="eleven_flash_v2_5",
        usage={"characters": 1_000},
        given={"plan": "enterprise"},
        lines={"characters": D("0.05")},
        source="elevenlabs.io/pricing/api",
        issue="assumed_plan: pay-as-you-go (no price for plan 'enterprise')",
    ),
    Case(
        provider="elevenlabs",
        model="conversational-ai",
        usage={"session_seconds": 90},
        lines={"session_seconds": D("0.08") * 90 / 60},
        source="elevenlabs.io/pricing/api",
    ),
    Case(  # 127 s are three started minutes
        provider="twilio",
        model="voice",
        usage={"call_seconds": 127, "calls": 1},
        lines={"call_seconds": D("0.014") * 180 / 60},
        source="twilio.com/voice/pricing/us, support article 223132307",
        issue="assumed_leg: outbound, US",
    ),
    Case(
        provider="twilio",
        model="inbound",
        usage={"call_seconds": 60, "calls": 1},
        lines={"call_seconds": D("0.0085") * 60 / 60},
        source="twilio.com/voice/pricing/us",
    ),
    Case(
        provider="twilio",
        model="inbound-tollfree",
        usage={"call_seconds": 61, "calls": 1},
        lines={"call_seconds": D("0.022") * 120 / 60},
        source="twilio.com/voice/pricing/us",
    ),
    Case(  # answered for less than a second: one minute
        provider="twilio",
        model="voice",
        usage={"call_seconds": 0, "calls": 1},
        lines={"call_seconds": D("0.014")},
        source="twilio.com changelog 2021",
    ),
    Case(  # never answered
        provider="twilio",
        model="voice",
        usage={"call_seconds": 0, "calls": 0},
        lines={"call_seconds": D(0)},
        source="twilio.com/voice/pricing/us",
    ),
    Case(
        provider="telnyx",
        model="outbound",
        usage={"call_seconds": 61, "calls": 1},
        lines={"call_seconds": D("0.007") * 2},
        source="telnyx.com/pricing",
    ),
    Case(
        provider="twilio",
        model="sms-outbound",
        usage={"messages": 2},
        lines={"messages": D("0.0083") * 2},
        source="twilio.com/sms/pricing/us",
    ),
    Case(
        provider="twilio",
        model="mms-inbound",
        usage={"messages": 1},
        lines={"messages": D("0.0165")},
        source="twilio.com/sms/pricing/us",
    ),
    Case(
        provider="deepgram",
        model="nova-3",
        usage={"audio_seconds": 60, "channels": 1, "paid_extras": 2},
        given={"mode": "stream"},
        status="partial",
        lines={"audio_seconds": D("0.0048"), "paid_extras": None},
        issue="no_price: paid_extras",
        source="deepgram.com/pricing; sources disagree about add-ons",
    ),
    Case(
        provider="livekit",
        model="agent-session",
        usage={"session_seconds": 61},
        lines={"session_seconds": D("0.01") * 2},
        source="docs.livekit.io billing",
    ),
    Case(
        provider="pinecone",
        model="my-index",
        usage={"read_units": 6, "requests": 1},
        lines={"read_units": D(16) * 6 / M},
        source="pinecone.io/pricing",
    ),
    Case(
        provider="pinecone",
        model="my-index",
        usage={"read_units": 6},
        given={"plan": "enterprise"},
        lines={"read_units": D(24) * 6 / M},
        source="pinecone.io/pricing",
    ),
    Case(
        provider="pinecone",
        model="my-index",
        usage={"write_units": 7, "vectors": 2},
        lines={"write_units": D(4) * 7 / M, "vectors": D(0)},
        source="pinecone.io/pricing, captured by flexprice on 2026-11-04",
    ),
    Case(
        provider="pinecone",
        model="my-index",
        usage={"read_units": 6, "rerank_units": 1},
        status="partial",
        lines={"read_units": D(16) * 6 / M, "rerank_units": None},
        issue="no_price: rerank_units",
        source="pinecone.io/pricing; by the model that reranks, which no answer tells",
    ),
    Case(
        provider="pgvector",
        model="documents",
        usage={"requests": 1},
        lines={"requests": D(0)},  # your own machine: an explicit zero
        source="github.com/pgvector/pgvector",
    ),
    Case(
        provider="cohere",
        model="rerank-v3.5",
        usage={"requests": 1},
        lines={"requests": D(2) / 1_000},
        source="cohere.com/pricing",
    ),
    Case(
        provider="mistral",
        model="mistral-ocr-2512",
        usage={"pages": 12},
        lines={"pages": D(2) * 12 / 1_000},
        source="mistral.ai/pricing",
    ),
    Case(  # 2.9 % and 0.30 on 4.99: exact, cents are for display
        provider="stripe",
        model="card",
        usage={"charge_usd": D("4.99"), "charges": 1},
        lines={"charge_usd": D("0.029") * D("4.99"), "charges": D("0.30")},
        source="stripe.com/pricing",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    """The arithmetic in the table is what the book answers."""
    check(case)
