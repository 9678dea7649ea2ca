"""Explain the decision on a call: whether it is billed, with which span's quantities, and why.

The ledger keeps each decision as an issue of the record, `same_call:nested`. The code follows the explanation, so that
a reader can search for it.
"""

from collections.abc import Mapping
from typing import Any, Final

from cost_exporter.report.amounts import jsonable

__all__ = ["billed_instead", "issue_explained"]

Row = Mapping[str, Any]

_SAME_CALL: Final = {
    "response_id": "both carry the same response id",
    "phone_call_id": "both name the same phone call",
    "session": "both are the same part of one session",
    "nested": "one is above the other, with the same model and usage",
    "overlap": "another instrumentation reports the same model and usage at the same time",
    "look_alike": "a span in another trace has the same model, usage, service and time",
    "cache_unsaid": "another instrumentation reports the same call, and only one of the two includes the cached tokens",
    "usage_lost": "one is above the other, and only one of them knows the usage",
    "gateway": "a gateway reports the same call, under the name of the model that it asked for",
    "framework": "a framework's span yields to the calls of the vendor below it",
}
_DECISIONS: Final = {
    "not_billable": "not billed: its emitter says that a span below it is (gen_ai.usage.billable=false)",
    "vendor_total": "corrected to what the vendor says that the session took",
}


def billed_instead(record: Row) -> str:
    """Return which span is billed instead of a duplicate, with its trace where that is another one."""
    if record["duplicate_of"] is None:
        return "not billable"
    other = record.get("duplicate_trace_id")
    where = "" if other is None else f" in trace {jsonable(other)}"
    return f"duplicate of {record['duplicate_of']}{where}"


def issue_explained(record: Row, issue: str) -> str:
    """Return an issue in words, followed by its code; one that is no decision stays a code."""
    kind, _, detail = issue.partition(":")
    if kind == "same_call":
        return f"not billed: the call is billed as {record['duplicate_of']}; {_SAME_CALL.get(detail, detail)} ({issue})"
    if kind == "amended_by":
        return f"billed with the figures of span {detail}, which knows more of this phone call ({issue})"
    if kind == "completed_by":
        return f"billed with a part of the usage that only span {detail} of this call reports ({issue})"
    return f"{_DECISIONS[issue]} ({issue})" if issue in _DECISIONS else issue
