"""The facts of a request and its receipt: every span is counted once."""

from cost_exporter.domain.facts import DeadLetter, Facts, Receipt
from tests.domain.builders import call


def test_every_span_of_a_request_is_counted_once() -> None:
    """Calls, dead letters and what is ignored make up the request."""
    facts = Facts(
        namespace="default",
        received_at_unix_ns=0,
        calls=[call("a"), call("b")],
        dead_letters=[DeadLetter(reason="bad_id")],
        ignored_count=4,
    )
    assert facts.span_count == 2 + 1 + 4


def test_a_receipt_warns_of_dead_letters_only() -> None:
    """The sender hears of spans that were kept aside, and of nothing else."""
    assert Receipt(received=3, accepted=3).warning == ""
    assert "2 span(s) kept as dead letters" in Receipt(received=3, accepted=1, dead_letter=2).warning
