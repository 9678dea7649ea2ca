"""A small application as anybody might have it: OpenAI's SDK and an OpenTelemetry span, nothing of callfare.

It answers one support question: looks it up by embedding, drafts with a small model, answers twice with a larger
one by streaming (once asking for usage, once forgetting to), and runs into a model it has no quota for.
"""

import contextlib

import openai
from opentelemetry import trace

QUESTION = "Where is my order?"


def main() -> None:
    """Answer the question within one trace."""
    client = openai.OpenAI(max_retries=0)
    with trace.get_tracer("support-bot").start_as_current_span("support-call"):
        client.embeddings.create(model="text-embedding-3-small", input=QUESTION, encoding_format="float")
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}])
        stream_with_usage(client)
        stream_without_usage(client)
        ask_model_without_quota(client)


def stream_with_usage(client: openai.OpenAI) -> None:
    """Stream an answer and ask for the token counts that OpenAI sends only on request."""
    stream = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for _ in stream:
        pass


def stream_without_usage(client: openai.OpenAI) -> None:
    """Stream an answer as most programs do: what it consumed is then nowhere said."""
    stream = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    for _ in stream:
        pass


def ask_model_without_quota(client: openai.OpenAI) -> None:
    """Call a model that refuses with 429; the caller lives on."""
    with contextlib.suppress(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": QUESTION}])


if __name__ == "__main__":
    main()
