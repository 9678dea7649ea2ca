"""Match model names to price rows: exactly, by declared prefix, or by anchored pattern; never by substring.

In: a provider and a model name as spans carry it (`models/gemini-2.5-flash`, `openai/gpt-4o`,
`gpt-5.2-20251211`). Out: every row that could price it, with how well it matches and when. A snapshot whose
date cannot be (no such day, or later than the book knows of) is not taken for its base model. A model without a
name has no price, whatever a pattern says.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, Match, ModelAlias, PriceRow
from cost_exporter.domain.provider import canonical_provider

__all__ = ["Candidate", "ProviderPrices", "matches_empty_name", "name_forms", "nearest"]

_DATE = re.compile(r"(?<!\d)(20\d{2})(-?)(\d{2})\2(\d{2})(?!\d)")
_COMPACT_DATE = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=-|:|$)")
_OTHER_MODEL = re.compile(
    r"(?<![a-z0-9])(?:cyber|distill|embedding|image|lite|live|max|micro|mini|nano|pro|realtime|transcribe|tts|ultra)"
    r"(?![a-z0-9])"
)
"""Parts of a name that make another model of it, with another price, whatever it begins with."""
_ALIAS_DEPTH_MAX = 4
_EXACT, _PREFIX, _REGEX = 0, 1, 2
_NEAREST_PERCENT_MAX = 34


class Candidate(NamedTuple):
    """A row that could price a model, how well it matches (less is better), and when, Unix nanoseconds."""

    row: PriceRow
    rank: tuple[int, int, int]
    valid_from_unix_ns: int
    valid_to_unix_ns: int


class _Name(NamedTuple):
    """One name a model goes by, and when; declared aliases come after the name itself."""

    text: str
    distance: int
    valid_from_unix_ns: int = ALWAYS
    valid_to_unix_ns: int = FOREVER


def name_forms(provider: str, model: str) -> list[str]:
    """Return the spellings under which this model may be listed, the literal one first."""
    forms = [model.strip().lower()]
    for shorten in (_after_models, _after_provider, _after_arn, _with_dashed_date):
        shortened = shorten(forms[-1], provider)
        if shortened and shortened != forms[-1]:
            forms.append(shortened)
    return forms


def _after_models(name: str, provider: str) -> str:
    """`models/gemini-2.5-flash`, `publishers/google/models/gemini-2.5-flash` -> `gemini-2.5-flash`."""
    del provider
    return name.rpartition("models/")[2] if name.startswith("models/") or "/models/" in name else name


def _after_provider(name: str, provider: str) -> str:
    """`openai/gpt-4o`, `cerebras:llama3.1-8b` at that very provider -> the name alone."""
    for separator in "/:":
        head, found, rest = name.partition(separator)
        if found and canonical_provider(head) == provider:
            return rest
    return name


def _after_arn(name: str, provider: str) -> str:
    """`arn:aws:bedrock:…:inference-profile/us.anthropic.claude-…` -> the profile's name."""
    return name.rpartition("/")[2] if provider == "aws" and name.startswith("arn:") else name


def _with_dashed_date(name: str, provider: str) -> str:
    """`gpt-5.2-20251211`, as gateways write it -> `gpt-5.2-2025-12-11`."""
    del provider
    return _COMPACT_DATE.sub(r"-\1-\2-\3", name)


def has_possible_dates(name: str, snapshots_until: str) -> bool:
    """Return whether every date in a model name is a day, and none later than `snapshots_until` (YYYYMMDD)."""
    for year, _, month, day in _DATE.findall(name):
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            return False
        if year + month + day > snapshots_until:
            return False
    return True


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _matches(match: Match, text: str, name: str) -> bool:
    return name.startswith(text) if match == "prefix" else _compiled(text).fullmatch(name) is not None


def matches_empty_name(one: PriceRow | ModelAlias) -> bool:
    """Return whether a row or an alias would, by its own words, apply to a model whose name is not known."""
    text = one.model if isinstance(one, PriceRow) else one.name
    return not text or (one.match == "regex" and _matches(one.match, text, ""))


class ProviderPrices:
    """Everything the books say about one provider, ready to be looked up by model name."""

    def __init__(self, rows: Iterable[PriceRow], aliases: Iterable[ModelAlias], snapshots_until: str) -> None:
        """Take rows and aliases in the order they were loaded: of two equal ones the later is in force."""
        in_force = {row.supersede_key: row for row in rows}
        self.rows: Sequence[PriceRow] = tuple(in_force.values())
        self._snapshots_until = snapshots_until
        self._exact: dict[str, list[PriceRow]] = {}
        self._patterns: dict[tuple[Match, str], list[PriceRow]] = {}
        for row in self.rows:
            if row.match == "exact":
                self._exact.setdefault(row.model, []).append(row)
            else:
                self._patterns.setdefault((row.match, row.model), []).append(row)
        self._take_aliases(aliases)

    def _take_aliases(self, aliases: Iterable[ModelAlias]) -> None:
        self._alias: dict[str, list[ModelAlias]] = {}
        patterns: list[ModelAlias] = []
        for alias in aliases:
            if alias.match == "exact":
                known = self._alias.setdefault(alias.name, [])
                known[:] = [other for other in known if other.valid_from_unix_ns != alias.valid_from_unix_ns]
                known.append(alias)
            else:
                patterns.append(alias)
        # The longest declared prefix first, then patterns as listed.
        self._alias_patterns = sorted(patterns, key=lambda alias: (alias.match, -len(alias.name)))

    @property
    def models(self) -> list[str]:
        """Every exact name that is listed or declared."""
        return [*self._exact, *self._alias]

    def candidates(self, provider: str, model: str) -> list[Candidate]:
        """Return every row that could price this model, from all books, at any time."""
        found: dict[int, Candidate] = {}
        for name in self._names(provider, model):
            for row in self._exact.get(name.text, ()):
                _keep_best(found, row, (_EXACT, 0, name.distance), name)
            for (match, text), rows in self._patterns.items():
                if _matches(match, text, name.text):
                    rank = (_PREFIX if match == "prefix" else _REGEX, -len(text), name.distance)
                    for row in rows:
                        _keep_best(found, row, rank, name)
        return list(found.values())

    def _names(self, provider: str, model: str) -> list[_Name]:
        names: list[_Name] = []
        for distance, form in enumerate(name_forms(provider, model)):
            if not form:
                break  # a pattern such as `(voice)?` matches an empty name: it would price what nobody named
            names.append(_Name(form, distance))
            if form in self._exact or form in self._alias:
                break  # a shorter form may be another model: Perplexity has `sonar` and `perplexity/sonar`
        frontier = names
        for _ in range(_ALIAS_DEPTH_MAX):
            frontier = [target for name in frontier for target in self._targets(name)]
            known = {name.text for name in names}
            names = names + [target for target in frontier if target.text not in known]
        return names

    def _targets(self, name: _Name) -> list[_Name]:
        aliases = self._alias.get(name.text) or self._first_pattern(name.text)
        return [
            _Name(
                alias.model,
                name.distance + 10,
                max(name.valid_from_unix_ns, alias.valid_from_unix_ns),
                min(name.valid_to_unix_ns, alias.valid_to_unix_ns),
            )
            for alias in aliases
            if alias.model != name.text
        ]

    def _first_pattern(self, name: str) -> list[ModelAlias]:
        if name in self._exact or not has_possible_dates(name, self._snapshots_until):
            return []
        variant = _variant_of(name)
        for alias in self._alias_patterns:
            is_named = _matches(alias.match, alias.name, name)
            if is_named and variant <= _variant_of(alias.name) | _variant_of(alias.model):
                return [alias]
        return []


def _variant_of(name: str) -> set[str]:
    """Return the parts of a name, or of a pattern of names, that make it another model than the one it begins with."""
    base = name.split(":")[1] if name.startswith("ft:") else name  # what follows is whose fine-tune it is
    return set(_OTHER_MODEL.findall(base.replace("\\", "")))


def _keep_best(found: dict[int, Candidate], row: PriceRow, rank: tuple[int, int, int], name: _Name) -> None:
    """Keep the row under its best match; a name that is valid for a while makes the row valid for that while."""
    valid_from = max(row.valid_from_unix_ns, name.valid_from_unix_ns)
    valid_to = min(row.valid_to_unix_ns, name.valid_to_unix_ns)
    known = found.get(id(row))
    if valid_from < valid_to and (known is None or rank < known.rank):
        found[id(row)] = Candidate(row, rank, valid_from, valid_to)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that differs least from `name`; "" where none is near. A hint for people, never a match."""
    letters = _pairs(name)
    best, best_percent = "", _NEAREST_PERCENT_MAX
    for other in known:
        theirs = _pairs(other)
        percent = 100 * len(letters ^ theirs) // (len(letters) + len(theirs) or 1)
        if percent < best_percent:
            best, best_percent = other, percent
    return best


def _pairs(name: str) -> set[str]:
    return {name[index : index + 2] for index in range(len(name) - 1)}
