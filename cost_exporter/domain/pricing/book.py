"""Price usage: turn a UsageRecord into a Quote.

Pure. Every quantity of the usage ends up in exactly one line, priced or marked unpriced, unless it costs
nothing by nature or measures the same thing a second time (characters beside tokens). The amount is the
exact sum of the lines; a line is quantised once; nothing is rounded after it. What cannot be priced is
`None`, never 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, Protocol

from cost_exporter.domain.money import CONTEXT
from cost_exporter.domain.pricing.match import Candidate, ProviderPrices, name_forms, nearest
from cost_exporter.domain.pricing.names import elsewhere, names_to_try, uncounted
from cost_exporter.domain.pricing.overlap import overlapping_parts
from cost_exporter.domain.pricing.quote import invalid_quote, planned_quote, refused_quote, reported_quote
from cost_exporter.domain.pricing.rate_card import BookCandidates, PriceLookup
from cost_exporter.domain.pricing.rows import (
    CONDITIONS,
    LIST,
    OPERATOR,
    Factor,
    ModelAlias,
    PriceRow,
    stated_conditions,
)
from cost_exporter.domain.provider import RESALE, canonical_provider, host_provider
from cost_exporter.domain.quantity import (
    QUANTITIES,
    InconsistentUsage,
    PartsExceedInput,
    disjoint_parts,
)
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord, totals_not_stated

__all__ = ["PriceBook", "PriceRows", "PriceSource"]

_ENTRIES_MAX: Final = 20_000
"""Limit of the cache of usage kinds. Model names come from outside: past this bound the cache is cleared."""
_COSTED: Final = frozenset({"priced", "estimated", "partial"})
_ONE: Final = Decimal(1)
_NO_DATE_LIMIT: Final = "99999999"
_TENANT: Final = "tenant:"
_API_KEY: Final = "api_key:"


class PriceSource(Protocol):
    """Rows and aliases by provider, produced when they are first needed."""

    @property
    def providers(self) -> Iterable[str]:
        """Every provider this source has rows or aliases for."""
        ...

    def rows(self, provider: str) -> Sequence[PriceRow]:
        """Return the provider's rows in the order they were loaded."""
        ...

    def aliases(self, provider: str) -> Sequence[ModelAlias]:
        """Return the provider's aliases in the order they were loaded."""
        ...


class PriceRows:
    """A source of rows that are at hand."""

    def __init__(self, rows: Iterable[PriceRow], aliases: Iterable[ModelAlias] = ()) -> None:
        """Sort rows and aliases by provider."""
        self._rows: dict[str, list[PriceRow]] = {}
        self._aliases: dict[str, list[ModelAlias]] = {}
        for row in rows:
            self._rows.setdefault(row.provider, []).append(row)
        for alias in aliases:
            self._aliases.setdefault(alias.provider, []).append(alias)

    @property
    def providers(self) -> Iterable[str]:
        return self._rows.keys() | self._aliases.keys()

    def rows(self, provider: str) -> Sequence[PriceRow]:
        return self._rows.get(provider, ())

    def aliases(self, provider: str) -> Sequence[ModelAlias]:
        return self._aliases.get(provider, ())


class PriceBook:
    """All prices in force, immutable. Later sources supersede earlier ones."""

    def __init__(
        self,
        sources: Sequence[PriceSource] = (),
        *,
        factors: Sequence[Factor] = (),
        version: str = "",
        override_books: Iterable[str] | None = None,
        snapshots_until: str = _NO_DATE_LIMIT,
        scale: Decimal = _ONE,
    ) -> None:
        """Build a book.

        `override_books` names the books other than `list` that occur, where the caller knows them, so that the
        rows need not be looked through. `snapshots_until` (YYYYMMDD) is the day up to which the book knows of
        models; `scale` is a factor on every price.
        """
        self._sources = tuple(sources)
        self._factors = tuple(factors)
        self._snapshots_until = snapshots_until
        self._scale = scale
        self.providers = frozenset(provider for source in self._sources for provider in source.providers)
        if override_books is None:
            override_books = {row.book for provider in self.providers for row in self._rows(provider)}
        self._books = (frozenset(override_books) | {factor.book for factor in factors}) - {LIST}
        self._tenants = _named(self._books, _TENANT)
        self._api_keys = _named(self._books, _API_KEY)
        self._provider_prices: dict[str, ProviderPrices] = {}
        self._entries: dict[tuple[Any, ...], PriceLookup | Quote] = {}
        self.version = version or self._content_version()

    @classmethod
    def of(cls, rows: Iterable[PriceRow], **options: Any) -> "PriceBook":
        """Return a book of rows that are at hand."""
        return cls([PriceRows(rows)], **options)

    def scaled(self, factor: Decimal) -> "PriceBook":
        """Return the same book with every price multiplied by `factor`."""
        scaled = PriceBook(
            self._sources,
            factors=self._factors,
            version=f"{self.version} x {factor}",
            override_books=self._books,
            snapshots_until=self._snapshots_until,
            scale=CONTEXT.multiply(self._scale, factor),
        )
        scaled._provider_prices = self._provider_prices  # both are views of the same rows
        return scaled

    def prices_of(self, provider: str) -> ProviderPrices:
        """Return everything known about one provider, compiled when first asked for."""
        prices_of = self._provider_prices.get(provider)
        if prices_of is None:
            aliases = [alias for source in self._sources for alias in source.aliases(provider)]
            prices_of = ProviderPrices(self._rows(provider), aliases, self._snapshots_until)
            self._provider_prices[provider] = prices_of
        return prices_of

    @property
    def rows(self) -> Iterable[PriceRow]:
        """Every row in force, by provider."""
        for provider in sorted(self.providers):
            yield from self.prices_of(provider).rows

    @property
    def factors(self) -> Sequence[Factor]:
        """Negotiated factors on list prices."""
        return self._factors

    def price(self, usage: UsageRecord) -> Quote:
        """Return what this usage costs."""
        if usage.is_refused:
            return self._refused(usage)
        if usage.vendor_cost_usd is not None:
            return self._reported(usage, usage.vendor_cost_usd)
        quantities = usage.quantities
        if not quantities:
            return Quote(amount_usd=None, status="no_usage", issues=("no_usage",), book_version=self.version)
        try:
            parts = disjoint_parts(quantities)
        except InconsistentUsage as error:
            return self._inconsistent(usage, error)
        entry = self._entry(usage)
        if isinstance(entry, Quote):
            return entry
        return planned_quote(entry.rate_card(usage.at_unix_ns, quantities), parts, usage, self.version)

    def _inconsistent(self, usage: UsageRecord, error: InconsistentUsage) -> Quote:
        """Answer a usage that cannot be, unless it can: where the same tokens were counted under two names."""
        overlapping = overlapping_parts(usage.quantities) if isinstance(error, PartsExceedInput) else None
        if overlapping is None:
            return invalid_quote(f"inconsistent_usage: {error}", self.version)
        parts, issue = overlapping
        entry = self._entry(usage)
        if isinstance(entry, Quote):
            return entry
        plan = entry.rate_card(usage.at_unix_ns, usage.quantities)
        quote = planned_quote(plan, parts, replace(usage, is_estimated=True), self.version)
        return replace(quote, issues=(*quote.issues, issue))

    def price_of_call(self, usage: UsageRecord) -> Quote:
        """Return the cost of a call for which a span reported this usage.

        `price` prices the quantities it is given. A span may report a chat without its input or its output, which the
        vendor bills all the same: then the quote is `partial` and names what is missing. It is also `partial` if the
        span reported usage that was not understood.
        """
        quote = self.price(usage)
        if quote.status not in _COSTED:
            return quote
        if usage.is_incomplete and not usage.is_refused:
            quote = replace(quote, status="partial")
        if not (missing := totals_not_stated(usage)):
            return quote
        entry = self._entry(usage)
        assert isinstance(entry, PriceLookup)
        plan = entry.rate_card(usage.at_unix_ns, usage.quantities)
        billed = [unit for unit in missing if unit in plan.steps and plan.steps[unit].rate.price_usd]
        if not billed:
            return quote
        issues = (*quote.issues, *[f"not_stated: {unit}" for unit in billed])
        return replace(quote, status="partial", issues=issues)

    def _refused(self, usage: UsageRecord) -> Quote:
        try:
            parts = disjoint_parts(usage.quantities)
        except InconsistentUsage:
            parts = {}
        entry = self._entry(usage)
        plan = None if isinstance(entry, Quote) else entry.rate_card(usage.at_unix_ns, usage.quantities)
        return refused_quote(plan, parts, usage, self.version)

    def _reported(self, usage: UsageRecord, vendor_cost_usd: Decimal) -> Quote:
        """The vendor's own figure is the cost, unless a negotiated price of ours outranks it (rule 19)."""
        entry = self._entry(usage) if self._books and usage.quantities else None
        if isinstance(entry, PriceLookup) and entry.rate_card(usage.at_unix_ns, usage.quantities).is_override:
            quote = self.price_of_call(replace(usage, vendor_cost_usd=None))
            if quote.status in {"priced", "estimated"}:
                return quote
        return reported_quote(vendor_cost_usd, self.version)

    def _entry(self, usage: UsageRecord) -> PriceLookup | Quote:
        """Return the compiled prices for usages of this kind, or the quote of those that nothing prices."""
        key = (
            usage.provider,
            usage.model,
            usage.request_model,
            usage.base_url,
            usage.service_tier,
            usage.mode,
            usage.region,
            usage.speed,
            usage.plan,
            usage.search_context,
            usage.tenant if usage.tenant in self._tenants else "",
            usage.api_key if usage.api_key in self._api_keys else "",
            tuple(usage.quantities),
        )
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= _ENTRIES_MAX:
                self._entries.clear()
            entry = self._entries[key] = self._new_entry(usage)
        return entry

    def _new_entry(self, usage: UsageRecord) -> PriceLookup | Quote:
        unknown = sorted(usage.quantities.keys() - QUANTITIES)
        if unknown:
            return invalid_quote(f"unknown_quantity: {', '.join(unknown)}", self.version)
        provider, model = self._who_bills(usage)
        context = stated_conditions({name: getattr(usage, name) for name in CONDITIONS})
        entry = self._first_known(usage, provider, model, context)
        return entry if entry is not None else self._unknown(provider, model)

    def _who_bills(self, usage: UsageRecord) -> tuple[str, str]:
        """Return provider and model: the host decides, then the name, then a prefix of the model's name."""
        model = usage.model or usage.request_model
        provider = host_provider(usage.base_url) or canonical_provider(usage.provider)
        if not provider and "/" in model:
            provider = canonical_provider(model.partition("/")[0])
        return provider, model

    def _first_known(
        self, usage: UsageRecord, provider: str, model: str, context: dict[str, str]
    ) -> PriceLookup | None:
        """Return the prices of the first name that has any; of any but the response model they are an estimate."""
        for name, reason in names_to_try(provider, model, usage.request_model):
            seller, levels = self._levels(usage, provider, name)
            if not any(level.candidates for level in levels):
                continue
            estimated = reason or elsewhere(provider, name, levels)
            unknown = uncounted(usage, provider, name)
            issues = tuple(filter(None, (estimated, unknown)))
            if seller != provider:
                issues = (*issues, f"resale: at the list price of {seller}")
            return PriceLookup(
                levels,
                unit_names=usage.quantities,
                context=context,
                issues=issues,
                is_estimated=bool(estimated),
                is_incomplete=bool(unknown),
                scale=self._scale,
            )
        return None

    def _levels(self, usage: UsageRecord, provider: str, model: str) -> tuple[str, list[BookCandidates]]:
        """Return whose list applies, and the books in force for this usage in order of precedence."""
        own = self.prices_of(provider).candidates(provider, model)
        overrides = [f"{_API_KEY}{usage.api_key}", f"{_TENANT}{usage.tenant}", OPERATOR]
        levels = [self._override(book, own, provider, model) for book in overrides if book in self._books]
        seller, listed = self._listed(own, provider, model)
        levels.append(BookCandidates(book=LIST, candidates=[one for one in listed if not one.row.is_imported]))
        levels.append(BookCandidates(book=LIST, candidates=[one for one in listed if _is_primary_import(one.row)]))
        levels.append(BookCandidates(book=LIST, candidates=[one for one in listed if one.row.is_secondary]))
        return seller, levels

    def _listed(self, own: Sequence[Candidate], provider: str, model: str) -> tuple[str, list[Candidate]]:
        """Return the list rows of the provider itself, else of the first whose models it resells."""
        listed = [one for one in own if one.row.book == LIST]
        if listed:
            return provider, listed
        for seller in RESALE.get(provider, ()):
            resold = [one for one in self.prices_of(seller).candidates(seller, model) if one.row.book == LIST]
            if resold:
                return seller, resold
        return provider, []

    def _override(self, book: str, own: Sequence[Candidate], provider: str, model: str) -> BookCandidates:
        names = name_forms(provider, model)
        factors = [
            factor
            for factor in self._factors
            if factor.book == book and factor.provider in {"", provider} and (not factor.model or factor.model in names)
        ]
        return BookCandidates(book=book, candidates=[one for one in own if one.row.book == book], factors=factors)

    def _unknown(self, provider: str, model: str) -> Quote:
        """Return the quote of usage without any price, with suggestions for what was perhaps meant."""
        if provider not in self.providers:
            near = nearest(provider, self.providers)
            issue = f"unknown_provider: {provider or '(none)'}"
        else:
            near = nearest(model.lower(), self.prices_of(provider).models)
            issue = f"unknown_model: {model or '(none)'} at {provider}"
        hint = f"; nearest name: {near}" if near else ""
        return Quote(amount_usd=None, status="unpriced", issues=(issue + hint,), book_version=self.version)

    def _rows(self, provider: str) -> list[PriceRow]:
        return [row for source in self._sources for row in source.rows(provider)]

    def _content_version(self) -> str:
        """Return a hash of everything a quote depends on."""
        digest = sha256()
        for row in self.rows:
            digest.update(f"{row}|{row.increment}|{row.minimum}|{row.multiplier}|{row.bill_on_error}\n".encode())
        for factor in self._factors:
            digest.update(f"{factor}\n".encode())
        return digest.hexdigest()[:12]


def _named(books: Iterable[str], kind: str) -> frozenset[str]:
    return frozenset(book.removeprefix(kind) for book in books if book.startswith(kind))


def _is_primary_import(row: PriceRow) -> bool:
    return row.is_imported and not row.is_secondary
