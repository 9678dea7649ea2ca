"""Names and the rows they match, each step by itself: forms of a name, dates in it, patterns, aliases, near misses."""

from collections.abc import Iterable

import pytest

from cost_exporter.domain.pricing.match import (
    ProviderPrices,
    has_possible_dates,
    matches_empty_name,
    name_forms,
    nearest,
)
from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, ModelAlias, PriceRow
from tests.domain.small_book import row

ARN = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-9"


@pytest.mark.parametrize(
    ("provider", "model", "forms"),
    [
        ("google", " Models/Gemini-9 ", ["models/gemini-9", "gemini-9"]),
        ("google", "publishers/google/models/gemini-9", ["publishers/google/models/gemini-9", "gemini-9"]),
        ("google", "my-models/gemini-9", ["my-models/gemini-9"]),
        ("openai", "openai/gpt-9", ["openai/gpt-9", "gpt-9"]),
        ("cerebras", "cerebras:llama9", ["cerebras:llama9", "llama9"]),
        ("openai", "azure/gpt-9", ["azure/gpt-9"]),
        ("openai", "openai/", ["openai/"]),
        ("openai", "openai", ["openai"]),
        ("aws", ARN, [ARN, "us.anthropic.claude-9"]),
        ("openai", ARN, [ARN]),
        ("aws", "a/b", ["a/b"]),
        ("acme", "gpt-9-20251211", ["gpt-9-20251211", "gpt-9-2025-12-11"]),
        ("acme", "gpt-9-20251211:free", ["gpt-9-20251211:free", "gpt-9-2025-12-11:free"]),
        ("acme", "gpt-9-202512110", ["gpt-9-202512110"]),
        ("acme", "", [""]),
        ("openai", "models/openai/gpt-9-20251211", None),
    ],
)
def test_forms_of_a_name(provider: str, model: str, forms: list[str] | None) -> None:
    """The literal one first, then each that is shorter, and no empty one."""
    every = ["models/openai/gpt-9-20251211", "openai/gpt-9-20251211", "gpt-9-20251211", "gpt-9-2025-12-11"]
    assert name_forms(provider, model) == (every if forms is None else forms)


@pytest.mark.parametrize(
    ("name", "is_possible"),
    [
        ("gpt-9", True),
        ("gpt-9-2025-12-11", True),
        ("gpt-9-20251211", True),
        ("gpt-9-2025-12-12", False),
        ("gpt-9-2026-01-01", False),
        ("gpt-9-2025-02-30", False),
        ("gpt-9-2025-13-01", False),
        ("gpt-9-2025-1211", True),
        ("gpt-9-120251231", True),
        ("gpt-9-2024-01-01-2026-01-01", False),
    ],
)
def test_dates_in_a_name(name: str, is_possible: bool) -> None:
    """Each is a day, up to the last day that the book knows of; other digits are no date."""
    assert has_possible_dates(name, "20251211") is is_possible


@pytest.mark.parametrize(
    ("name", "match", "matches"),
    [
        ("", "exact", True),
        ("nova", "exact", False),
        ("", "prefix", True),
        ("nova", "prefix", False),
        ("(nova)?", "regex", True),
        ("nova", "regex", False),
        ("(nova)?", "exact", False),
    ],
)
def test_what_would_price_a_model_without_a_name(name: str, match: str, matches: bool) -> None:
    assert matches_empty_name(row("input_tokens", "1", model=name, match=match)) is matches
    alias = ModelAlias(provider="acme", name=name, model="other", match=match)  # type: ignore[arg-type]
    assert matches_empty_name(alias) is matches


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("gpt-4o-mini", ["gpt-4o", "gpt-4o-mimi", "sonnet"], "gpt-4o-mimi"),
        ("gpt-4o-mini", ["sonnet"], ""),
        ("gpt-4o-mini", [], ""),
        ("abcd", ["abcde", "abcdx"], "abcde"),
        ("abc", ["abd"], ""),
        ("x", ["y"], "y"),
        ("abcdef", ["abcdefghijklm"], ""),
        ("abcdefghij", ["abcdefghijkl", "abcdefghijk"], "abcdefghijk"),
    ],
)
def test_the_nearest_name(name: str, known: list[str], near: str) -> None:
    """The first of equally near ones; none that differs in a third of its pairs of letters."""
    assert nearest(name, known) == near


def candidates(
    model: str, rows: Iterable[PriceRow], aliases: Iterable[ModelAlias] = (), until: str = "20301231"
) -> list[tuple[str, tuple[int, int, int], int, int]]:
    """Return what could price a model: the row's name, its rank and when."""
    found = ProviderPrices(rows, aliases, until).candidates("acme", model)
    return [(each.row.model, each.rank, each.valid_from_unix_ns, each.valid_to_unix_ns) for each in found]


def named(name: str, **changes: object) -> PriceRow:
    return row("input_tokens", "1", model=name, **changes)


def alias(name: str, model: str, **changes: object) -> ModelAlias:
    fields: dict[str, object] = {"provider": "acme", "name": name, "model": model} | changes
    return ModelAlias(**fields)  # type: ignore[arg-type]


def test_ranks_of_candidates() -> None:
    """Exact before prefix before pattern, longer before shorter, nearer forms before farther ones."""
    rows = [named("nova"), named("no", match="prefix"), named("n.*", match="regex"), named("other")]
    assert candidates("acme/nova", rows) == [
        ("nova", (0, 0, 1), ALWAYS, FOREVER),
        ("no", (1, -2, 1), ALWAYS, FOREVER),
        ("n.*", (2, -3, 1), ALWAYS, FOREVER),
    ]
    assert candidates("NOVA", [named("N.VA", match="regex")]) == [("N.VA", (2, -4, 0), ALWAYS, FOREVER)]
    assert candidates("", [named("(nova)?", match="regex")]) == []


def test_a_form_that_is_listed_hides_the_shorter_ones() -> None:
    """Also one that is an alias."""
    assert [each[0] for each in candidates("acme/nova", [named("acme/nova"), named("nova")])] == ["acme/nova"]
    rows = [named("base"), named("nova")]
    assert [each[0] for each in candidates("acme/nova", rows, [alias("acme/nova", "base")])] == ["base"]


def test_aliases_are_followed_four_steps() -> None:
    """Each counts ten, whatever the form; a circle and an alias of itself end by themselves."""
    chain = [alias(f"a{step}", f"a{step + 1}") for step in range(6)]
    rows = [named(f"a{step}") for step in range(7)]
    assert [(name, rank[2]) for name, rank, *_ in candidates("a0", rows, chain)] == [
        (f"a{step}", 10 * step) for step in range(5)
    ]
    circle = [alias("a", "b"), alias("b", "a")]
    assert [each[:2] for each in candidates("a", [named("a"), named("b")], circle)] == [
        ("a", (0, 0, 0)),
        ("b", (0, 0, 10)),
    ]
    assert ProviderPrices([named("a")], circle, "20301231").models == ["a", "a", "b"]


def test_an_alias_is_in_force_for_its_time() -> None:
    """Only as long as every alias on the way and the row are; of two that begin together the later listed one."""
    rows = [named("a", valid_from_unix_ns=5, valid_to_unix_ns=90)]
    chain = [
        alias("x", "y", valid_from_unix_ns=10, valid_to_unix_ns=80),
        alias("y", "a", valid_from_unix_ns=20, valid_to_unix_ns=70),
    ]
    assert candidates("x", rows, chain) == [("a", (0, 0, 20), 20, 70)]
    assert candidates("y", rows, [alias("y", "a", valid_to_unix_ns=5)]) == []
    later = [alias("x", "b"), alias("x", "c", valid_from_unix_ns=7), alias("x", "a")]
    assert [each[0] for each in candidates("x", [named("a"), named("b"), named("c")], later)] == ["c", "a"]


def test_a_row_is_kept_under_its_best_match() -> None:
    """A prefix that fits two names of a model fits the nearer one."""
    rows = [named("n", match="prefix")]
    assert [each[1] for each in candidates("nova", rows, [alias("nova", "nova-2")])] == [(1, -1, 0)]


def test_patterns_of_aliases() -> None:
    """The longest prefix before a shorter one, prefixes before patterns, none for a listed name or a wrong date."""
    patterns = [
        alias("nova.*", "by-pattern", match="regex"),
        alias("no", "short", match="prefix"),
        alias("nova", "long", match="prefix"),
    ]
    rows = [named("by-pattern"), named("short"), named("long")]

    def priced(model: str, *more: PriceRow) -> list[str]:
        return [each[0] for each in candidates(model, [*rows, *more], patterns, "20251211")]

    assert priced("nova-9") == ["long"]
    assert priced("nox") == ["short"]
    assert priced("nova-9", named("nova-9")) == ["nova-9"]
    assert priced("nova-9-2025-12-11") == ["long"]
    assert priced("nova-9-2026-12-11") == []
    assert priced("nova-9-mini") == []
    assert [each[0] for each in candidates("nova-9", rows, patterns[:1])] == ["by-pattern"]
    escaped = [alias(r"nova\-mini.*", "long", match="regex")]
    assert [each[0] for each in candidates("nova-mini", rows, escaped)] == ["long"]
    tuned = [alias("ft:nova", "long", match="prefix")]
    assert [each[0] for each in candidates("ft:nova-9:acme-mini", rows, tuned)] == ["long"]
    assert candidates("ft:nova-mini:acme", rows, tuned) == []
