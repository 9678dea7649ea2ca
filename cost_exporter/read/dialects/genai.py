"""OpenTelemetry's own GenAI instrumentations: opentelemetry-instrumentation-genai-*, -openai-v2, -google-genai.

Measured with 1.3b0 and openai-v2 2.4b0: they write the conventions and nothing else. openai-v2 names errors by
their repr (`<class 'openai.RateLimitError'>`, see `failure.py`) and has no cached, audio or reasoning counts.
"""

from cost_exporter.read.fields.reading import Dialect

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="genai",
    scopes=(
        "opentelemetry.instrumentation.genai.*",
        "opentelemetry.util.genai*",
        "opentelemetry.instrumentation.openai_v2*",
        "opentelemetry.instrumentation.google_genai*",
    ),
)
