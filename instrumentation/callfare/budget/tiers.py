"""Tiers: budgets of single requests by name, from the configuration file that CALLFARE_CONFIG names.

The file is read once. A name that it does not have gets the tier `standard`, with one warning a name.
"""

import logging
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from callfare import environment

if TYPE_CHECKING:
    from cost_exporter.settings.tier_rule import TierRule

__all__ = ["Tier", "tier_named"]

_WARNINGS_MAX: Final = 100
"""Names may come from outside."""
_log = logging.getLogger("callfare")
_warned: set[str] = set()


class Tier:
    """The limits of a tier."""

    __slots__ = ("name", "per_task_usd", "total_usd")

    def __init__(self, name: str, total_usd: Decimal, per_task_usd: Mapping[str, Decimal]) -> None:
        self.name = name
        self.total_usd = total_usd
        self.per_task_usd = per_task_usd


def tier_named(name: str) -> Tier:
    """The tier of this name, else `standard`. Raises ValueError where the configuration has no tiers."""
    tiers = _tiers(environment.config_file())
    if not tiers:
        raise ValueError(
            f"budget(tier={name!r}) needs its limits: pass total_usd, or name a file with `tiers` in CALLFARE_CONFIG"
        )
    if name not in tiers:
        if name not in _warned and len(_warned) < _WARNINGS_MAX:
            _warned.add(name)
            _log.warning("tier %r is not in CALLFARE_CONFIG: the tier 'standard' applies (logged once)", name)
        name = "standard"
    rule = tiers[name]
    return Tier(name, rule.total_usd, rule.per_task_usd)


@cache
def _tiers(path: str) -> "Mapping[str, TierRule]":
    if not path:
        return {}
    try:
        from cost_exporter.settings.config_file import load_config  # noqa: PLC0415 - only who uses tiers needs the extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"callfare.budget(tier=...) needs the extra: pip install 'callfare[exporter]' ({error.name} is missing)",
            name=error.name,
        ) from error
    return load_config(Path(path)).tiers
