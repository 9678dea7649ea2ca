"""The tested versions of the ElevenLabs SDK."""

_instruments = ("elevenlabs >= 1.59, < 3",)
