"""The tested versions of Azure's speech SDK."""

_instruments = ("azure-cognitiveservices-speech >= 1.40, < 2",)
