"""A voice agent as anybody might have it: four vendors' SDKs and an OpenTelemetry span, nothing of callfare.

Reads one incoming call from standard input: the SID and the headers its webhook brought. The caller asks twice.
The first question is answered to the end. For the second the larger model has no quota, so the small one answers,
by a stream that forgets to ask for its usage, and the caller interrupts the answer while it is spoken. After the
call a job goes to standard output, with the trace's context in its headers; `insights.py` takes it from there.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

import openai
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs.client import ElevenLabs
from opentelemetry import context, propagate, trace
from twilio.rest import Client as Twilio

PIECE_OF_AUDIO = b"\0" * 3_200  # 0.1 s of silence, 16 kHz linear16
PRICE_POLL_SECONDS = 0.1  # in production a job asks some minutes later


def main() -> None:
    """Answer one call within one trace, attributed to the tenant that the webhook's baggage names."""
    webhook = json.loads(sys.stdin.readline())
    context.attach(propagate.extract(webhook["headers"]))
    with trace.get_tracer("voice-agent").start_as_current_span("support-call"):
        call = telephone().calls(webhook["CallSid"])
        transcript = converse()
        call.update(status="completed")
        hand_over(transcript)
        while call.fetch().price is None:
            time.sleep(PRICE_POLL_SECONDS)


def converse() -> list[str]:
    """Transcribe, answer and speak, twice; return the transcripts of the caller."""
    llm = openai.OpenAI(max_retries=0)
    with recogniser().listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16_000) as recognition:
        first = transcribe(recognition, seconds=12)
        llm.embeddings.create(model="text-embedding-3-small", input=first, encoding_format="float")
        speak(think(llm, first, stream_options={"include_usage": True}))
        second = transcribe(recognition, seconds=8)
        with contextlib.suppress(openai.RateLimitError):
            think(llm, second, model="gpt-4.1")
        speak(think(llm, second), chunks_until_interrupted=2)
        recognition.send_close_stream()
        for _ in recognition:
            pass
    return [first, second]


def transcribe(recognition: Any, *, seconds: int) -> str:
    """Send what the line brings and return the recognised words."""
    for _ in range(10 * seconds):
        recognition.send_media(PIECE_OF_AUDIO)
    recognition.send_finalize()
    for message in recognition:
        if message.type == "Results" and message.is_final:
            return str(message.channel.alternatives[0].transcript)
    raise ConnectionError("the recogniser hung up")


def think(llm: openai.OpenAI, question: str, *, model: str = "gpt-4o-mini", **options: Any) -> str:
    """Stream an answer."""
    chunks: Any = llm.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], stream=True, **options
    )
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    return "".join(words).strip()


def speak(text: str, *, chunks_until_interrupted: int | None = None) -> None:
    """Say it to the caller, who may interrupt: then the rest is neither fetched nor played."""
    voice = ElevenLabs(base_url=os.environ["ELEVENLABS_BASE_URL"])
    audio: Any = voice.text_to_speech.stream(
        "JBFqnCBsd6RMkjVDRZzb", text=text, model_id="eleven_flash_v2_5", output_format="pcm_16000"
    )
    with contextlib.closing(audio):
        play(islice(audio, chunks_until_interrupted))


def play(chunks: Iterable[bytes]) -> None:
    """Put audio on the line."""
    for _ in chunks:
        pass


def hand_over(transcript: list[str]) -> None:
    """Queue the post-call work, to be continued in the same trace by another process."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    sys.stdout.write(json.dumps({"headers": headers, "transcript": transcript}) + "\n")


def telephone() -> Twilio:
    """Twilio, by its own variables and the address of a sandbox."""
    client = Twilio()
    client.api.base_url = os.environ["TWILIO_BASE_URL"]
    return client


def recogniser() -> DeepgramClient:
    """Deepgram, by its own variables and the address of a sandbox."""
    http = os.environ["DEEPGRAM_BASE_URL"]
    socket = http.replace("http", "ws", 1)
    return DeepgramClient(
        environment=DeepgramClientEnvironment(base=http, production=socket, agent=socket, agent_rest=http)
    )


if __name__ == "__main__":
    main()
