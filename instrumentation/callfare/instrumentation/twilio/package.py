"""The tested versions of Twilio's SDK."""

_instruments = ("twilio >= 7, < 10",)
