"""The tested versions of Cartesia's SDK."""

_instruments = ("cartesia >= 2, < 5",)
