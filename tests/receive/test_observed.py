"""What the rest of the service learns of a stored request."""

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.receive.observed import Observed, Watch
from tests.domain.builders import call


def test_what_was_not_understood_is_counted() -> None:
    """Calls that speak of unread usage, once each; and spans that only look like calls."""
    observed: list[Observed] = []
    unread = ("unread_usage: a.tokens = 1", "unread_usage: b.tokens = 1")
    calls = [call("1", issues=unread), call("2", issues=("exclusive_input",)), call("3")]
    facts = Facts(namespace="default", received_at_unix_ns=1, calls=calls, look_alikes=[call("4", is_look_alike=True)])
    Watch(observed.append)(facts, Receipt())
    assert [(each.unread_count, each.look_alike_count) for each in observed] == [(1, 1)]
