"""The tested versions of Qdrant's client."""

_instruments = ("qdrant-client >= 1.13, < 2",)
