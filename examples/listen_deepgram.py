"""Recognition by Deepgram: streams half a second of silence, then asks for the total.

    opentelemetry-instrument python examples/listen_deepgram.py

Nothing of callfare. The seconds of audio are on the span, corrected by Deepgram's own total at the close.
"""

import os

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

SILENCE = b"\x00\x00" * 1_600  # 0.1 s of 16 kHz


def main() -> None:
    client = DeepgramClient(api_key=os.environ["DEEPGRAM_API_KEY"], environment=environment())
    with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16_000) as socket:
        for _ in range(5):
            socket.send_media(SILENCE)
        socket.send_close_stream()
        for message in socket:
            print(message.type)


def environment() -> DeepgramClientEnvironment:
    host = os.environ.get("DEEPGRAM_HOST")  # host:port of a stand-in
    if host is None:
        return DeepgramClientEnvironment.PRODUCTION
    return DeepgramClientEnvironment(
        base=f"http://{host}", production=f"ws://{host}", agent=f"ws://{host}", agent_rest=f"http://{host}"
    )


if __name__ == "__main__":
    main()
