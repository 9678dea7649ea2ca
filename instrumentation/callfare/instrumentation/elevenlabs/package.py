"""The tested versions of the ElevenLabs SDK."""

_instruments = ("elevenlabs >= 1.50, < 3",)
