"""Traceloop's opentelemetry-instrumentation-bedrock: the model without its vendor, `nova-pro-v1:0` (measured 0.62.4).

Bedrock's model names begin with the vendor, so the vendor is restored from the model's family. Claude is left as it is:
its own name has a price, and the answer of InvokeModel states it. The region stays lost. A name with a dot is cut at
the dot if a region precedes it (`us.openai.gpt-5.4` is reported as `gpt-5`). Families with such names stay without a
vendor, and so without a price rather than with another model's.
"""

from functools import lru_cache
from typing import Final

from cost_exporter.read.fields.reading import Dialect, Reading

__all__ = ["DIALECT"]

_FAMILIES: Final = {
    "ai21": ("jamba-", "j2-"),
    "amazon": ("nova-", "titan-"),
    "cohere": ("command-", "embed-", "rerank-"),
    "deepseek": ("r1-",),
    "google": ("gemma-",),
    "meta": ("llama",),
    "mistral": ("devstral-", "magistral-", "ministral-", "mistral-", "mixtral-", "pixtral-", "voxtral-"),
    "nvidia": ("nemotron-",),
    "openai": ("gpt-oss-",),
    "qwen": ("qwen",),
    "writer": ("palmyra-",),
}


@lru_cache(maxsize=1024)
def _with_vendor(model: str) -> str:
    vendor = next((vendor for vendor, families in _FAMILIES.items() if model.startswith(families)), "")
    return f"{vendor}.{model}" if vendor else model


def _complete(reading: Reading) -> None:
    reading.request_model = _with_vendor(reading.request_model)
    reading.response_model = _with_vendor(reading.response_model)


DIALECT = Dialect(
    name="traceloop-bedrock",
    scopes=("opentelemetry.instrumentation.bedrock",),
    complete=_complete,
)
