"""The versions of CrewAI that are tested."""

_instruments = ("crewai >= 1.15, < 2",)
