"""Hang up a telephone call that becomes too expensive: Twilio carries it, Deepgram listens to it.

    opentelemetry-instrument python examples/cut_off_call.py

Both go on for as long as the caller likes. callfare reserves for the next report (CALLFARE_STT_REPORT_SECONDS) of each;
when that does not fit into the budget any more, `on_exceeded` runs in a thread of its own and hangs up.
"""

import os
import threading

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from twilio.rest import Client

import callfare

LIMIT_USD = "0.0145"  # a minute of the call, and a few seconds of listening
SILENCE = b"\x00\x00" * 1_600  # 0.1 s of 16 kHz: what the call's media stream would bring


def main() -> None:
    twilio = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    if "TWILIO_BASE_URL" in os.environ:
        twilio.api.base_url = os.environ["TWILIO_BASE_URL"]
    deepgram = DeepgramClient(api_key=os.environ["DEEPGRAM_API_KEY"], environment=environment())
    placed: list[str] = []
    is_over = threading.Event()

    def hang_up(error: callfare.BudgetExceeded) -> None:
        if not is_over.is_set():
            is_over.set()
            print(f"hanging up: {error.limit_usd} USD are not enough for what comes next")
            for sid in placed:
                twilio.calls(sid).update(status="completed")

    with callfare.workflow("support-call"), callfare.budget(LIMIT_USD, on_exceeded=hang_up):
        call = twilio.calls.create(to="+15550006789", from_="+15550001234", url="https://example.com/twiml")
        placed.append(str(call.sid))
        with deepgram.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16_000) as socket:
            while not is_over.wait(0.1):
                socket.send_media(SILENCE)
            socket.send_close_stream()
    print("the call is", twilio.calls(placed[0]).fetch().status)


def environment() -> DeepgramClientEnvironment:
    host = os.environ.get("DEEPGRAM_HOST")  # host:port of a stand-in
    if host is None:
        return DeepgramClientEnvironment.PRODUCTION
    return DeepgramClientEnvironment(
        base=f"http://{host}", production=f"ws://{host}", agent=f"ws://{host}", agent_rest=f"http://{host}"
    )


if __name__ == "__main__":
    main()
