"""What recorded emitters put on spans of what people and models said does not wait in the database."""

from pathlib import Path

import pytest

from cost_exporter.forward.outgoing import outgoing_spans
from tests.fixtures import otlp_json

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
