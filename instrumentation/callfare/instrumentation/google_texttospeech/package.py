"""The tested versions of Google's text-to-speech client."""

_instruments = ("google-cloud-texttospeech >= 2.21, < 3",)
