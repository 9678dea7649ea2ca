"""The tested versions of AssemblyAI's SDK."""

_instruments = ("assemblyai >= 0.64, < 2",)
