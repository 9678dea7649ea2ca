"""The dialects: what each family of emitters does differently, beyond the spellings in `aliases.py`.

One file each. To add one: a new file with a `DIALECT`, its line here, a recorded span in the corpus, and a row
in docs/emitters.md. The order counts where spans are recognised by markers: the more specific ones first.
"""

from typing import Final

from cost_exporter.read.dialects import (
    anthropic_native,
    callfare,
    claude_code,
    conventions,
    genai,
    genkit,
    google_adk,
    haystack,
    langfuse,
    langwatch,
    litellm,
    livekit,
    logfire,
    mlflow,
    openinference,
    openinference_pipecat,
    openlit,
    pinecone,
    pipecat,
    pydantic_ai,
    strands,
    traceloop,
    traceloop_bedrock,
    vercel_ai,
    vercel_ai_7,
)
from cost_exporter.read.fields.reading import Dialect

__all__ = ["CONVENTIONS", "DIALECTS"]

CONVENTIONS: Final[Dialect] = conventions.DIALECT
"""The dialect of emitters that have none of their own."""

DIALECTS: Final[tuple[Dialect, ...]] = (
    callfare.DIALECT,
    anthropic_native.DIALECT,
    claude_code.DIALECT,
    google_adk.DIALECT,
    haystack.DIALECT,
    mlflow.DIALECT,
    genai.DIALECT,
    genkit.DIALECT,
    pydantic_ai.DIALECT,
    logfire.DIALECT,
    litellm.DIALECT,
    openlit.DIALECT,
    openinference_pipecat.DIALECT,
    openinference.DIALECT,
    vercel_ai.DIALECT,
    vercel_ai_7.DIALECT,
    livekit.DIALECT,
    pipecat.DIALECT,
    langfuse.DIALECT,
    langwatch.DIALECT,
    strands.DIALECT,
    pinecone.DIALECT,
    traceloop_bedrock.DIALECT,
    traceloop.DIALECT,
    CONVENTIONS,
)
