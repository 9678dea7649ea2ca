"""Inbound calls in a WSGI application: Twilio posts how each leg ended, and `record_call_status` records it.

    opentelemetry-instrument gunicorn --chdir examples twilio_status_wsgi:app

Check Twilio's signature in production (`twilio.request_validator`), as for any webhook.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from callfare.instrumentation.twilio import record_call_status


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    record_call_status(parse_qs(body.decode()))
    start_response("204 No Content", [])
    return [b""]
