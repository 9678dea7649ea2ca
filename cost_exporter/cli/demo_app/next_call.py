"""The next caller's first question, under a budget of the service that is nearly used up: refused before it is sent.

The same SDK as in `voice_agent.py`. What `CALLFARE_BUDGET_URL` adds is one exception that an application may expect.
"""

import sys
import time
from decimal import Decimal

import openai

import callfare

ATTEMPTS_MAX = 100
PAUSE_SECONDS = 0.1  # the service has not answered yet


def main() -> None:
    """Print why the question was not sent. Ends with 1 where it was."""
    llm = openai.OpenAI(max_retries=0)
    for _ in range(ATTEMPTS_MAX):
        try:
            llm.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Where is my order?"}], max_tokens=500
            )
        except callfare.BudgetExceeded as refused:
            if refused.reason == "unreachable":
                time.sleep(PAUSE_SECONDS)
                continue
            estimated_usd = refused.estimate_usd or Decimal(0)
            left_usd = refused.limit_usd - refused.spent_usd - refused.reserved_usd
            sys.stdout.write(f"{estimated_usd.normalize():f} USD estimated, {left_usd.normalize():f} USD left\n")
            return
        break
    sys.exit(1)


if __name__ == "__main__":
    main()
