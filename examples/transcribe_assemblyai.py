"""Recorded audio by AssemblyAI: billed by its length, once the transcript is complete.

    opentelemetry-instrument python examples/transcribe_assemblyai.py

Nothing of callfare.
"""

import os

import assemblyai


def main() -> None:
    assemblyai.settings.api_key = os.environ["ASSEMBLYAI_API_KEY"]
    assemblyai.settings.base_url = os.environ.get("ASSEMBLYAI_BASE_URL", assemblyai.settings.base_url)
    assemblyai.settings.polling_interval = 0.1
    transcript = assemblyai.Transcriber().transcribe("https://example.com/call.wav")
    print(transcript.status)


if __name__ == "__main__":
    main()
