"""A workflow attributed to a tenant, with the customer's price, and usage that no instrumentation records.

    opentelemetry-instrument python examples/workflow.py

Three lines of callfare: `workflow` gives everything inside a tenant, a category and a price; `record_usage` reports a
paid operation that no instrumentation knows. Both do nothing if tracing is off.
"""

import openai

import callfare


def main() -> None:
    with callfare.workflow("support-call", tenant="acme", category="bot", revenue="0.05") as call:
        answer()
        callfare.record_usage("retrieval", "pinecone", "serverless", read_units=6)
        summarise()
        call.set_outcome("completed")
        print(call.trace_id)  # what `callfare trace` takes


def answer() -> None:
    client = openai.OpenAI()
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Where is my order?"}])


@callfare.workflow("insights", category="insights")
def summarise() -> None:
    client = openai.OpenAI()
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Sum it up."}])


if __name__ == "__main__":
    main()
