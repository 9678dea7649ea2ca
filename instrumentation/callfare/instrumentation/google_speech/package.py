"""The tested versions of Google's speech client."""

_instruments = ("google-cloud-speech >= 2.28, < 3",)
