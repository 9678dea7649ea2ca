"""The step after a call, in a process of its own: a language model summarises the call. No line of callfare.

Reads jobs from standard input, one a line, as `voice_agent.py` queues them. A job's headers carry the context of
the call's trace (W3C `traceparent` and `baggage`), so this work is part of the same workflow.
"""

import json
import sys
from typing import Any

import openai
from opentelemetry import context, propagate, trace


def main() -> None:
    """Do the jobs until there are no more."""
    llm = openai.OpenAI()
    for line in sys.stdin:
        summarise(llm, json.loads(line))


def summarise(llm: openai.OpenAI, job: dict[str, Any]) -> None:
    """Sum one call up, as a part of its trace."""
    token = context.attach(propagate.extract(job["headers"]))
    try:
        with trace.get_tracer("insights").start_as_current_span("summarise-call"):
            transcript = "\n".join(job["transcript"])
            llm.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": transcript}])
    finally:
        context.detach(token)


if __name__ == "__main__":
    main()
