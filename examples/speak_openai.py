"""Speech by OpenAI: says a sentence, and writes down one. Nothing of callfare.

    opentelemetry-instrument python examples/speak_openai.py

The `openai_audio` instrumentor records what each call is billed by: characters and seconds of audio.
"""

import io
import wave

import openai


def main() -> None:
    client = openai.OpenAI()
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="Your order leaves today.", response_format="pcm"
    ) as speech:
        size_bytes = sum(len(chunk) for chunk in speech.iter_bytes())
    print(f"{size_bytes} bytes of speech")
    client.audio.transcriptions.create(model="whisper-1", file=("question.wav", recording(seconds=3)))


def recording(*, seconds: int) -> bytes:
    """Silence, as a microphone would have recorded it."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0\0" * 16_000 * seconds)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
