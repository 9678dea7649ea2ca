"""The tested versions of the OpenAI SDK."""

_instruments = ("openai >= 1.100, < 4",)
