"""The tested versions of Deepgram's SDK."""

_instruments = ("deepgram-sdk >= 3.11, < 8",)
