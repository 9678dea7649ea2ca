"""A telephone call by Twilio: places it, hangs up, and asks what it cost.

    opentelemetry-instrument python examples/call_twilio.py

Nothing of callfare. The leg is one record: placed, ended with its seconds, and priced when Twilio has the price.
"""

import os

from twilio.rest import Client


def main() -> None:
    client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    if "TWILIO_BASE_URL" in os.environ:
        client.api.base_url = os.environ["TWILIO_BASE_URL"]
    call = client.calls.create(to="+15550006789", from_="+15550001234", twiml="<Response><Say>Hello</Say></Response>")
    client.calls(call.sid).update(status="completed")
    print(client.calls(call.sid).fetch().status)


if __name__ == "__main__":
    main()
