"""Google Cloud: recognises a second of silence, and speaks a sentence.

    opentelemetry-instrument python examples/google_speech.py

Nothing of callfare. Google states the seconds it bills; speech is characters, at the price of the voice's tier.
"""

import os

import grpc
from google.cloud import speech, texttospeech
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcTransport
from google.cloud.texttospeech_v1.services.text_to_speech.transports import TextToSpeechGrpcTransport

ADDRESS = os.environ.get("GOOGLE_SPEECH_ADDRESS")  # host:port of a stand-in


def main() -> None:
    if ADDRESS is None:
        recognise(speech.SpeechClient())
        speak(texttospeech.TextToSpeechClient())
        return
    with grpc.insecure_channel(ADDRESS) as channel:
        recognise(speech.SpeechClient(transport=SpeechGrpcTransport(channel=channel)))
        speak(texttospeech.TextToSpeechClient(transport=TextToSpeechGrpcTransport(channel=channel)))


def recognise(client: speech.SpeechClient) -> None:
    config = {"encoding": "LINEAR16", "sample_rate_hertz": 16_000, "language_code": "en-US", "model": "telephony"}
    client.recognize(config=config, audio={"content": b"\x00\x00" * 16_000})


def speak(client: texttospeech.TextToSpeechClient) -> None:
    client.synthesize_speech(
        input={"text": "Your order leaves today."},
        voice={"language_code": "en-US", "name": "en-US-Chirp3-HD-Aoede"},
        audio_config={"audio_encoding": "LINEAR16"},
    )


if __name__ == "__main__":
    main()
