"""The JSON of a call, as the database keeps it: names once stored stay readable."""

import json

from cost_exporter.domain.span import EmitterRank
from cost_exporter.store.codec.fact_json import call_fact_text, call_from
from tests.domain.builders import call


def test_the_emitter_rank_is_stored_under_the_name_that_it_had_first() -> None:
    """Databases hold it as `detail`, and older services may run beside this one."""
    ranked = call("a", emitter_rank=EmitterRank.NATIVE)
    fact = json.loads(call_fact_text(ranked))
    assert fact["detail"] == 5
    assert "emitter_rank" not in fact
    columns = {
        name: getattr(ranked if hasattr(ranked, name) else ranked.usage, name)
        for name in (
            *("trace_id", "span_id", "parent_span_id", "started_at_unix_ns", "ended_at_unix_ns", "service_name"),
            *("scope", "error_type", "issues", "reported_cost_usd", "content_hash"),
            *("provider", "model", "operation", "service_tier", "mode"),
        )
    }
    assert call_from(fact, ranked.usage.quantities, columns) == ranked
