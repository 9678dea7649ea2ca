"""Inbound calls in an ASGI application: Twilio posts how each leg ended, and `record_call_status` records it.

    opentelemetry-instrument uvicorn --app-dir examples twilio_status_asgi:app

Check Twilio's signature in production (`twilio.request_validator`), as for any webhook.
"""

from urllib.parse import parse_qs

from callfare.instrumentation.twilio import record_call_status


async def app(scope: dict, receive, send) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    record_call_status(parse_qs(body.decode()))
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
