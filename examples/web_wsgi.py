"""A WSGI application as anybody might have it: each request asks a model once. Nothing of callfare.

opentelemetry-instrument gunicorn --chdir examples --workers 2 web_wsgi:app
"""

import os
from collections.abc import Callable, Iterable

import openai


def app(environ: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    # A client a request: connections must not be shared by workers that were forked from one process.
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": str(environ["PATH_INFO"])}]
        )
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", str(os.getpid()))])
    return [(answer.choices[0].message.content or "").encode()]
