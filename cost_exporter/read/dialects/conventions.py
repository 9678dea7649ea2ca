"""The GenAI conventions as written, current and previous, and the open drafts for speech and cost.

Everything they say is in `aliases.py`: cache_write and the older cache_creation, audio, image and reasoning
parts, `gen_ai.usage.cost.*` (semantic-conventions-genai#443), the speech operations (#390).
"""

from cost_exporter.read.fields.reading import Dialect

__all__ = ["DIALECT"]

DIALECT = Dialect(name="conventions")
