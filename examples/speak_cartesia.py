"""Speech by Cartesia: two contexts on one socket, one of them cancelled, as when the caller interrupts.

    opentelemetry-instrument python examples/speak_cartesia.py

Nothing of callfare. Each context is one record, with the characters that were sent.
"""

import os

from cartesia import Cartesia

VOICE = {
    "model_id": "sonic-3",
    "voice": {"mode": "id", "id": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"},
    "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000},
}


def main() -> None:
    with (
        Cartesia(
            api_key=os.environ["CARTESIA_API_KEY"],
            base_url=os.environ.get("CARTESIA_BASE_URL"),
            websocket_base_url=os.environ.get("CARTESIA_WEBSOCKET_URL"),
        ) as client,
        client.tts.websocket_connect() as connection,
    ):
        answer = connection.context()
        answer.send(transcript="Your order leaves today.", continue_=False, **VOICE)
        while connection.recv().type != "done":
            pass
        interrupted = connection.context()
        interrupted.send(transcript="Is there anything else", continue_=True, **VOICE)
        interrupted.cancel()


if __name__ == "__main__":
    main()
