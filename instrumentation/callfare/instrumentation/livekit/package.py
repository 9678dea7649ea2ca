"""The tested versions of LiveKit Agents."""

_instruments = ("livekit-agents >= 1.8, < 2",)
