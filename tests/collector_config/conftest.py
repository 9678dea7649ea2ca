"""The real Collector for the tests that validate the files with it."""

from tests.end_to_end.binaries import collector_binary

__all__ = ["collector_binary"]
