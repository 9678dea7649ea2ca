"""The functions that make an object field by field leave no field out, and agree with the constructor."""

import re
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import cost_exporter
from cost_exporter.domain.attribution import NO_ATTRIBUTION
from cost_exporter.domain.cost import CostRecord, billed_record
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.span import Call, EmitterRank, Link, copy_call, plain_link
from cost_exporter.domain.usage import UsageRecord, copy_usage
from cost_exporter.domain.value import fills

ACME = NO_ATTRIBUTION._replace(tenant="acme")


def filled(cls: type[UsageRecord | Call]) -> dict[str, Any]:
    """Values for the texts and flags of a class, so that a new field is filled too; none is its default."""
    texts = {each.name: f"some {each.name}" for each in fields(cls) if each.type is str}
    return texts | {each.name: not each.default for each in fields(cls) if each.type is bool}


def filled_usage() -> UsageRecord:
    """Every field has a value that is not its default."""
    given = {"session_before": {"input_tokens": 1}, "vendor_cost_usd": Decimal("0.5")}
    return UsageRecord(**filled(UsageRecord) | given, quantities={"input_tokens": 3}, at_unix_ns=5)


def filled_call() -> Call:
    """Every field has a value that is not its default."""
    given: dict[str, Any] = {
        "emitter_rank": EmitterRank.NATIVE,
        "attribution": ACME,
        "resource_attribution": ACME._replace(tenant="other"),
        "session_sequence": 1,
        "session_vendor_total_seconds": Decimal(7),
        "producer_sequence": 4,
        "reported_cost_usd": Decimal("0.1"),
        "issues": ("exclusive_input",),
        "content_hash": 9,
    }
    return Call(
        **filled(Call) | given,
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_span_id=b"p" * 8,
        started_at_unix_ns=1,
        ended_at_unix_ns=2,
        usage=filled_usage(),
    )


def differs_from_defaults(made: UsageRecord | Call) -> bool:
    return all(getattr(made, each.name) != each.default for each in fields(made))


def test_a_copy_of_usage_has_the_fields_that_are_given_and_keeps_the_rest() -> None:
    """As `dataclasses.replace` does."""
    usage = filled_usage()
    assert differs_from_defaults(usage)
    given = {"tenant": "acme", "api_key": "k", "session_before": {"input_tokens": 2}, "vendor_cost_usd": Decimal(1)}
    copied = copy_usage(usage, {"input_tokens": 8}, 9, "other", **given)  # type: ignore[arg-type]
    assert copied == replace(usage, quantities={"input_tokens": 8}, at_unix_ns=9, model="other", **given)  # type: ignore[arg-type]


def test_a_copy_of_a_call_has_the_fields_that_are_given_and_keeps_the_rest() -> None:
    """As `dataclasses.replace` does."""
    call = filled_call()
    assert differs_from_defaults(call)
    given = {
        "trace_id": b"T" * 16,
        "span_id": b"S" * 8,
        "parent_span_id": None,
        "started_at_unix_ns": 11,
        "ended_at_unix_ns": 12,
        "usage": replace(call.usage, model="other"),
        "attribution": NO_ATTRIBUTION,
        "resource_attribution": ACME,
        "service_name": "other",
        "call_id": "",
        "content_hash": 10,
    }
    assert copy_call(call, **given) == replace(call, **given)  # type: ignore[arg-type]


def test_a_plain_link_states_nothing() -> None:
    """It is the link that the constructor makes of the three ids."""
    assert plain_link(b"t" * 16, b"s" * 8, None) == Link(trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=None)


def test_a_billed_record_has_its_usage_and_its_quote() -> None:
    """It is the record that the constructor makes of them, and no duplicate."""
    call = filled_call()
    usage = replace(call.usage, tenant="acme")
    quote = Quote(amount_usd=Decimal(2), status="partial", issues=("no_price: pages",), book_version="7")
    made = billed_record(
        call=call,
        tenant="acme",
        category="bot",
        attribution=ACME,
        usage=usage,
        quote=quote,
        issues=("all",),
        amended_model="better",
    )
    assert made == CostRecord(
        call=call,
        tenant="acme",
        category="bot",
        attribution=ACME,
        quantities=usage.quantities,
        session_before=usage.session_before,
        status="partial",
        cost_usd=Decimal(2),
        issues=("all",),
        quote_issues=("no_price: pages",),
        book_version="7",
        amended_model="better",
    )
    assert made.quote == quote


def test_only_what_is_made_for_every_span_gives_up_immutability() -> None:
    """Other classes are plain frozen dataclasses; these are made by reading, pricing, settling or the ledger."""
    root = Path(cost_exporter.__file__).parent
    modules = {
        path.relative_to(root) for path in root.rglob("*.py") if re.search(r"^@value$", path.read_text(), re.MULTILINE)
    }
    assert modules
    assert {module.parts[:2] for module in modules if module.parts[0] != "domain"} <= {("store", "ledger")}


def test_a_field_that_is_forgotten_is_found_at_import() -> None:
    """Planted: a function that leaves the attribution out."""

    def incomplete(link: Any) -> None:
        link.trace_id = link.span_id = link.parent_span_id = link.root = None

    with pytest.raises(AssertionError, match=r"incomplete does not set \['attribution'\]"):
        fills(Link)(incomplete)
