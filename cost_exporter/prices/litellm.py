"""Read LiteLLM's list of prices, from a file that the user names or from an installed litellm. Only to compare.

It is not a dependency and not a source of prices: it is undated, keeps no history and has rounded its prices by the
second. What is read is what it states by the token, character, second or image; the module is never imported.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cost_exporter.domain.pricing.rows import NO_CONDITIONS, PriceRow
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.errors import CallfareError

__all__ = ["installed_list", "read_litellm"]

_FILE: Final = "model_prices_and_context_window_backup.json"
_UNITS: Final = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "input_cost_per_character": "characters",
    "output_cost_per_image": "images",
    "output_cost_per_video_per_second": "video_seconds",
}
_BATCH: Final = {f"{key}_batches": unit for key, unit in _UNITS.items() if key.endswith("_per_token")}
_SECONDS_BY_MODE: Final = {"audio_transcription": "audio_seconds", "audio_speech": "output_audio_seconds"}


def installed_list() -> Path:
    """Return the list in an installed litellm, without importing it, which takes seconds and reads the network."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / _FILE
        if path.exists():
            return path
    raise CallfareError(f"litellm is not installed; name its list with --file, a copy of {_FILE}")


def read_litellm(path: Path) -> list[PriceRow]:
    """Return the prices in the file as rows."""
    try:
        listed: Any = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
    except OSError as error:
        raise CallfareError(f"{path} cannot be read: {error.strerror}; name another file with --file") from None
    except ValueError:
        raise CallfareError(f"{path} is not JSON; --file takes LiteLLM's {_FILE}") from None
    if not isinstance(listed, dict):
        raise CallfareError(f"{path} is not a list of models; --file takes LiteLLM's {_FILE}")
    return [row for name, stated in listed.items() if isinstance(stated, dict) for row in _rows(str(name), stated)]


def _rows(name: str, stated: dict[str, Any]) -> Iterator[PriceRow]:
    maker = str(stated.get("litellm_provider", ""))
    provider = canonical_provider(maker)
    if not provider or name == "sample_spec":
        return
    model = name.removeprefix(f"{maker}/").lower()
    source = str(stated.get("source", ""))
    units = {**_UNITS, "input_cost_per_second": _SECONDS_BY_MODE.get(str(stated.get("mode", "")), "")}
    for keys, when in ((units, NO_CONDITIONS), (_BATCH, (("mode", "batch"),))):
        for key, unit in keys.items():
            price = stated.get(key)
            if unit and isinstance(price, Decimal) and price > 0:
                yield PriceRow(provider=provider, model=model, unit=unit, price_usd=price, when=when, source=source)
