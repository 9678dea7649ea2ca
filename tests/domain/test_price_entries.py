"""What a book remembers of one usage never answers another, and what it says of names that it does not know."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain import PriceBook
from cost_exporter.domain.pricing.rows import PriceRow
from tests.domain.small_book import LIST, M, amounts, row, rows, usage

PER_KIND: dict[str, tuple[str, str]] = {
    "service_tier": ("flex", "1"),
    "mode": ("batch", "3"),
    "region": ("eu", "4"),
    "speed": ("fast", "5"),
    "plan": ("pro", "6"),
    "search_context": ("high", "7"),
}
CONDITIONS = [row("input_tokens", price, when=((name, stated),)) for name, (stated, price) in PER_KIND.items()]
OTHERS = [*rows({"input_tokens": "9"}, model="other"), *rows({"input_tokens": "11"}, provider="openai")]
OWN = [
    *rows({"input_tokens": "12", "output_tokens": "8"}, book="tenant:t1"),
    *rows({"input_tokens": "13", "output_tokens": "8"}, book="api_key:k1"),
]


def book(*more: PriceRow) -> PriceBook:
    return PriceBook.of([*LIST, *CONDITIONS, *OTHERS, *more])


@pytest.mark.parametrize(
    ("changes", "price_in"),
    [
        *(({name: stated}, price) for name, (stated, price) in PER_KIND.items()),
        ({"model": "other"}, "9"),
        ({"model": "nowhere", "request_model": "other"}, "9"),
        ({"provider": "openai"}, "11"),
        ({"base_url": "api.openai.com"}, "11"),
        ({"tenant": "t1"}, "12"),
        ({"api_key": "k1"}, "13"),
    ],
    ids=str,
)
def test_each_kind_of_usage_has_its_own_answer(changes: dict[str, str], price_in: str) -> None:
    """One after the other, in both orders: a field that were left out of the memo would give the first one's price."""
    kinds: list[dict[str, Any]] = [{}, {"model": "nowhere"} if "request_model" in changes else {}, changes]
    for order in (kinds, kinds[::-1]):
        one = book(*OWN)
        quotes = {str(each): one.price(usage({"input_tokens": 1_000}, **each)) for each in order}
        assert quotes["{}"].amount_usd == D(2) * 1_000 / M
        assert quotes[str(changes)].amount_usd == D(price_in) * 1_000 / M


def test_quantities_are_part_of_the_kind() -> None:
    """A book that was asked for input alone knows output as well."""
    one = book()
    assert amounts(one.price(usage({"input_tokens": 1_000}))) == {"input_tokens": D(2) * 1_000 / M}
    assert set(amounts(one.price(usage()))) == {"input_tokens", "output_tokens"}


def test_the_compiled_prices_are_kept() -> None:
    """They cost more than a quote; whoever is not listed has none."""
    one = book()
    assert one.prices_of("acme") is one.prices_of("acme")
    assert one.prices_of("acme").models == ["nova", "other"]
    assert one.prices_of("nobody").rows == ()
    for _ in range(2):
        assert one.price(usage()).amount_usd == D("0.0028")


def test_rows_come_by_provider() -> None:
    """Whatever the order in which they were loaded."""
    loaded = [row("input_tokens", "1", provider=name) for name in ("zeta", "beta", "acme")]
    assert [each.provider for each in PriceBook.of(loaded).rows] == ["acme", "beta", "zeta"]


def version(of: Iterable[PriceRow], **options: Any) -> str:
    return PriceBook.of(of, **options).version


def test_the_version_is_of_the_content() -> None:
    """The order of providers aside; a version that is given counts."""
    loaded = [row("input_tokens", "1", provider=name) for name in ("beta", "acme")]
    assert version(loaded) == version(loaded[::-1]) != version(loaded[:1])
    assert version(loaded) != version([loaded[0], replace(loaded[1], increment=D(2))])
    assert version(loaded, version="mine") == "mine"
    assert PriceBook.of(loaded, version="mine").scaled(D(2)).version == "mine x 2"


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({"model": "novas"}, "unknown_model: novas at acme; nearest name: nova"),
        ({"model": ""}, "unknown_model: (none) at acme"),
        ({"model": "xyz"}, "unknown_model: xyz at acme"),
        ({"provider": "acmee"}, "unknown_provider: acmee; nearest name: acme"),
        ({"provider": ""}, "unknown_provider: (none)"),
        ({"provider": "", "model": "acmee/nova"}, "unknown_provider: acmee; nearest name: acme"),
        ({"provider": "zzz", "model": "acme/nova"}, "unknown_provider: zzz"),
    ],
)
def test_what_was_perhaps_meant(changes: dict[str, Any], issue: str) -> None:
    quote = book().price(usage(**changes))
    assert (quote.status, quote.issues) == ("unpriced", (issue,))


def test_a_prefix_names_the_provider_where_nobody_else_does() -> None:
    """The host and the provider's own name come first."""
    one = book()
    asked: dict[str, Any] = {"provider": "", "model": "acme/nova"}
    assert one.price(usage(**asked)).amount_usd == D("0.0028")
    assert one.price(usage(**{**asked, "provider": "openai"})).status == "unpriced"
    assert one.price(usage({"input_tokens": 1_000}, provider="acme", base_url="api.openai.com")).amount_usd == D(
        "0.011"
    )


def test_a_quantity_that_nobody_knows_makes_the_usage_invalid() -> None:
    """They are named in order."""
    quote = book().price(usage({"input_tokens": 1, "foo": 1, "bar": 1}))
    assert (quote.status, quote.issues) == ("invalid", ("unknown_quantity: bar, foo",))


def test_a_snapshot_beyond_what_the_book_knows_has_no_price() -> None:
    """By an alias that would take any."""
    listed = [*LIST, row("input_tokens", "2", model="nova-2026-01-01")]
    assert PriceBook.of(listed, snapshots_until="20251231").price(usage(model="nova-20260101")).status == "partial"
    assert PriceBook.of(listed, snapshots_until="20251231").price(usage(model="nova-20260201")).status == "unpriced"


@pytest.mark.parametrize(("is_refused", "status"), [(False, "partial"), (True, "priced")])
def test_unread_usage_leaves_a_part(is_refused: bool, status: str) -> None:
    """But for a call that the vendor refused, which costs nothing."""
    assert book().price_of_call(usage(is_incomplete=True, is_refused=is_refused)).status == status
    assert book().price_of_call(usage()).status == "priced"


def test_the_vendors_own_cost_stays_unless_a_negotiated_price_outranks_it() -> None:
    """Without usage there is nothing to price, whoever negotiated."""
    reported = usage(tenant="t1", vendor_cost_usd=D("0.5"))
    assert book().price(reported).status == "reported"
    assert book(*OWN).price(reported).amount_usd == D("0.0128")
    assert book(*OWN).price(replace(reported, quantities={})).status == "reported"
    assert book(*OWN).price(replace(reported, tenant="t2")).status == "reported"
