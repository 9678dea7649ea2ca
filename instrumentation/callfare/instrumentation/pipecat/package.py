"""The tested versions of Pipecat."""

_instruments = ("pipecat-ai >= 1.14, < 2",)
