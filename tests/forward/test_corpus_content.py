"""What recorded emitters put on spans of what people and models said does not wait in the database."""

from pathlib import Path

import pytest

from cost_exporter.forward.outgoing import outgoing_spans
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from tests.fixtures import otlp_json
from tests.support import otlp

CONTENT = (b"Hello world", b"order has shipped", b'"content": "hi"', b'"content":"hi"')
RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_content_of_the_corpus_goes_on(path: Path) -> None:
    """Neither the questions nor the answers, by whatever name an emitter has them: of no span, a call or above one."""
    resource_spans = otlp_json.resource_spans([path])
    keys = {
        (span.trace_id, span.span_id) for each in resource_spans for group in each.scope_spans for span in group.spans
    }
    outgoing = outgoing_spans(resource_spans, keys)
    assert outgoing
    assert not [text for text in CONTENT for each in outgoing.values() if text in each.span]


@pytest.mark.parametrize(
    "key",
    [
        *("genkit:input", "genkit:output", "braintrust.input", "braintrust.output"),
        *("gen_ai.request.messages", "gen_ai.response.text", "gen_ai.response.tool_calls"),
        *("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args", "llm.invocation_parameters"),
    ],
)
def test_content_of_emitters_that_nobody_recorded_stays_behind(key: str) -> None:
    """By the names that their documentation has; what the call was stays."""
    sent = otlp.span(b"t" * 16, 1, started_at_unix_ns=1, attributes={key: "a secret", "gen_ai.request.model": "gpt-4o"})
    request = decode(otlp.request([sent]), Encoding.PROTOBUF, SenderIdentity(), received_at_unix_ns=1)
    (outgoing,) = outgoing_spans(request.resource_spans, {(sent.trace_id, sent.span_id)}).values()
    assert b"a secret" not in outgoing.span
    assert b"gpt-4o" in outgoing.span
