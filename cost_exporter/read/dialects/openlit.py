"""OpenLIT: the conventions with operations of its own (`audio`, `image`) and its own cost.

Counts of Anthropic and Bedrock are exclusive (scopes.py). A stream without usage carries an *estimate* that
nothing marks as one (13/6 tokens for 1200/345, measured 1.45.0); it cannot be told from a count here. A good
answer without usage is marked ERROR AttributeError. Speech has no characters and no seconds.
"""

from cost_exporter.read.reading import Dialect

__all__ = ["DIALECT"]

DIALECT = Dialect(name="openlit", scopes=("openlit*",))
