"""Random spans and links of a few traces, for tests of laws."""

from dataclasses import replace
from decimal import Decimal as D
from hashlib import blake2b

from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.span import Call, EmitterRank
from tests.domain.builders import ACME, OTHER_TRACE, TRACE, call, link


def with_true_hash(raw: Call) -> Call:
    """A call whose content hash is one: equal for equal contents only."""
    return replace(raw, content_hash=int.from_bytes(blake2b(repr(raw).encode(), digest_size=7).digest()))


NAMES = ["a", "b", "c", "d", "e"]
spans = st.builds(
    call,
    st.sampled_from(NAMES),
    parent=st.sampled_from([None, "root", *NAMES]),
    trace=st.sampled_from([TRACE, OTHER_TRACE]),
    start_ms=st.sampled_from([0, 2, 1500]),
    end_ms=st.sampled_from([2000, 2001]),
    scope=st.sampled_from(["scope.a", "scope.b"]),
    emitter_rank=st.sampled_from([EmitterRank.FRAMEWORK, EmitterRank.PLAIN, EmitterRank.NATIVE, EmitterRank.GATEWAY]),
    provider=st.sampled_from(["aws", "aws", "anthropic", ""]),
    model=st.sampled_from(["us.anthropic.claude-opus-5-v1:0", "claude-opus-5", "claude-opus-5", ""]),
    quantities=st.sampled_from(
        [
            {},
            {"input_tokens": 5, "output_tokens": 1},
            {"input_tokens": 5, "output_tokens": 2},
            {"input_tokens": 9, "output_tokens": 1, "cache_read_tokens": 3, "cache_write_tokens": 1},
            {"input_tokens": 8, "output_tokens": 1, "cache_read_tokens": 3},
        ]
    ),
    call_id=st.sampled_from(["", "", "response:1", "response:2", "phone:1"]),
    is_gateway=st.sampled_from([False, False, True]),
    has_gateway_id=st.sampled_from([False, False, True]),
    is_billable=st.sampled_from([True, True, False]),
    session_id=st.sampled_from(["", "", "s"]),
    session_sequence=st.sampled_from([None, 0, 1]),
    session_vendor_total_seconds=st.sampled_from([None, D(7)]),
    attribution=st.sampled_from([Attribution(), ACME, Attribution(category="bot")]),
).map(with_true_hash)
links = st.builds(
    link,
    st.sampled_from(["root", *NAMES]),
    parent=st.sampled_from([None, *NAMES]),
    attribution=st.sampled_from([Attribution(), Attribution(tenant="root", category="insights")]),
)
