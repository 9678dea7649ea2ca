"""Speech under a budget: the sentence that does not fit is never sent.

    opentelemetry-instrument python examples/budget.py

`callfare.budget` holds for everything inside it, in any thread or task. What a call will cost is estimated from its
request, at the prices of the bill; what it did cost is known as its span ends.
"""

import openai

import callfare

SENTENCES = ["Your order leaves today.", "It arrives on Thursday.", "Is there anything else?"]


def main() -> None:
    client = openai.OpenAI()
    with callfare.budget("0.0008", {"greeting": "0.0005"}) as money:
        with callfare.workflow("order-status", task="greeting"):
            client.audio.speech.create(model="tts-1", voice="alloy", input=SENTENCES[0])
        for sentence in SENTENCES[1:]:
            try:
                client.audio.speech.create(model="tts-1", voice="alloy", input=sentence)
            except callfare.BudgetExceeded as error:
                print(error)
        print(f"spent {money.spent_usd:.6f} USD, {money.utilisation:.1f} %, {money.remaining_usd:.6f} left")


if __name__ == "__main__":
    main()
