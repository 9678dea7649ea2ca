"""What recorded emitters put on spans of what people and models said does not wait in the database."""

from pathlib import Path

import pytest

from cost_exporter.forward.outgoing import outgoing_spans
from cost_exporter.read.request import read_request
from tests.fixtures import otlp_json

CONTENT = (b"Hello world", b"order has shipped", b'"content": "hi"', b'"content":"hi"')
RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_content_of_the_corpus_goes_on(path: Path) -> None:
    """Neither the questions nor the answers, by whatever name an emitter has them."""
    resource_spans = otlp_json.resource_spans([path])
    found = read_request(resource_spans, namespace="default", received_at_unix_ns=0, tenant_is_trusted=True)
    outgoing = outgoing_spans(resource_spans, {(call.trace_id, call.span_id) for call in found.calls})
    assert outgoing
    assert not [text for text in CONTENT for each in outgoing.values() if text in each.span]
