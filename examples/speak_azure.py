"""Speech by Azure: one sentence, into memory.

    opentelemetry-instrument python examples/speak_azure.py

Nothing of callfare. The native library does its own networking: the characters are read from the call.
"""

import os

import azure.cognitiveservices.speech as azure


def main() -> None:
    config = azure.SpeechConfig(
        endpoint=os.environ["AZURE_SPEECH_ENDPOINT"], subscription=os.environ["AZURE_SPEECH_KEY"]
    )
    config.speech_synthesis_voice_name = "en-US-AvaNeural"
    result = azure.SpeechSynthesizer(config, audio_config=None).speak_text("Your order leaves today.")
    print(result.reason.name)


if __name__ == "__main__":
    main()
