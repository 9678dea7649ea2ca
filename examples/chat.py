"""Any application that asks a model: OpenAI's SDK, and nothing of callfare.

    opentelemetry-instrument python examples/chat.py

Environment variables say where it sends its spans: see docs/how-to/direct.md, collector.md and in-process.md.
"""

import openai

QUESTION = "Where is my order?"


def main() -> None:
    client = openai.OpenAI()
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}])
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main()
