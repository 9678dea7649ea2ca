"""Speech by ElevenLabs: streams a sentence, and stops in the middle of another, as when the caller interrupts.

    opentelemetry-instrument python examples/speak_elevenlabs.py

Nothing of callfare. What was sent is billed: the interrupted sentence in full.
"""

import os

from elevenlabs.client import ElevenLabs

VOICE = "JBFqnCBsd6RMkjVDRZzb"


def main() -> None:
    client = ElevenLabs(api_key=os.environ["ELEVENLABS_API_KEY"], base_url=os.environ.get("ELEVENLABS_BASE_URL"))
    for _ in speak(client, "Your order leaves today."):
        pass
    interrupted = speak(client, "Is there anything else I can do for you?")
    next(interrupted)
    interrupted.close()


def speak(client: ElevenLabs, text: str):
    return client.text_to_speech.stream(VOICE, text=text, model_id="eleven_flash_v2_5", output_format="pcm_16000")


if __name__ == "__main__":
    main()
